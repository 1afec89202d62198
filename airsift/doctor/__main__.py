"""One check in a process of its own: ``python -m airsift.doctor NAME REQUEST`` prints findings."""

from __future__ import annotations

import json
import sys
from functools import partial

from airsift.__main__ import prefer_installed_modules, use_one_blas_thread


def main() -> None:
    """Run the check that is named and print what it finds, as one list of JSON."""
    prefer_installed_modules()
    use_one_blas_thread()
    from airsift.doctor import computing, surroundings
    from airsift.doctor.checkup import Check, config_of, failure

    name, request = sys.argv[1:]
    try:
        config, configured = config_of(request)
        checks: dict[str, Check] = {
            "sound": surroundings.sound,
            "broker": partial(surroundings.broker, config, configured=configured),
            "gpu": partial(computing.gpu, config),
            "backends": partial(computing.backends, config),
            "speed": partial(computing.speed, config),
        }
        findings = list(checks[name]())
    except Exception as error:
        findings = [failure(name, error)]
    print(json.dumps([each.to_dict() for each in findings]))


if __name__ == "__main__":
    main()
