"""schemathesis over ``mediseg serve``: does every answer fit the OpenAPI document, whatever is asked?

``python benchmarks/service_schema.py --examples 50``: starts the service on a free port of loopback and lets
schemathesis (``pip install schemathesis``) ask for everything that is described, with fitting and with wrong data, all
its checks on. Ends with schemathesis' own exit status. What is submitted is random bytes, so that every case fails.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from mediseg.serve.app import Service
from mediseg.web import Listener, bound, server, token_in


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=50, help="a call and phase")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        token = token_in(folder)
        service = Service(folder, token, max_mb=1, threads=1)
        listener = Listener(bound("127.0.0.1", 0), server(service.app()))
        command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
        command += [f"http://127.0.0.1:{listener.port}/openapi.json", "-H", f"Authorization: Bearer {token}"]
        # DELETE cancels a case; what became of it can still be asked
        command += [
            "--checks",
            "all",
            "--exclude-checks",
            "use_after_free",
            "--max-examples",
            str(options.examples),
            "--seed",
            str(options.seed),
        ]
        command += [
            "--request-timeout",
            "120",
            "--max-response-time",
            "60",
            "--suppress-health-check",
            "all",
            "--no-color",
        ]
        try:
            code = subprocess.run(command, check=False, cwd=folder).returncode
        finally:
            listener.stop()
            service.jobs.close()
        print(f"{len(service.jobs.all())} cases were submitted, exit status {code}")
    return code


if __name__ == "__main__":
    sys.exit(main())
