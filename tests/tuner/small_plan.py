"""The least that the `config.json` of a search holds."""

PLAN = {
    "recipe": "tiny",
    "recipe_file": None,
    "batch_size": 2,
    "tasks": [{"name": "a"}],
    "source": "default",
    "data_dir": None,
    "epochs": 1,
    "seed": 0,
    "oracle": "random",
    "trials": 2,
    "objective": ["a"],
    "balancers": {"fixed": None},
    "baselines": {"validation": {"a": 1.0}, "test": {"a": 1.0}},
    "space": {
        "space": [
            {
                "class_name": "Int",
                "config": {
                    "name": "width",
                    "min_value": 1,
                    "max_value": 9,
                    "step": 1,
                    "sampling": "linear",
                    "default": 1,
                    "conditions": [],
                },
            }
        ],
        "values": {"width": 1},
    },
}
