import subprocess
import sys


def test_importing_data_does_not_import_tfds():
    program = (
        "import sys, keras_mtl.data; "
        "print('tensorflow_datasets' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"
