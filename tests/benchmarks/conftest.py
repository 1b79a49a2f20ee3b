import pathlib
import sys

# Benchmarks are scripts beside the package, which import each other.
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "benchmarks"))
