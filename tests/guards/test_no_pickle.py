"""Nothing that is read can run: no pickle, no eval, no shell outside of training."""

import ast
from pathlib import Path

import mediseg

ROOT = Path(mediseg.__file__).parent
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def _faults(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found += _call_faults(node)
    return found


def _call_faults(node: ast.Call) -> list[str]:
    name = ast.unparse(node.func)
    words = {k.arg: ast.unparse(k.value) for k in node.keywords}
    bad = name in FORBIDDEN_CALLS or name in ("os.system", "os.popen", "torch.load")
    bad |= words.get("shell") == "True" or words.get("allow_pickle", "False") != "False"
    bad |= name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load") and words.get("Loader") != "_unique_keys()"
    return [name] if bad else []


def test_nothing_that_is_read_can_run():
    checked = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] != "train"]
    assert len(checked) > 100
    assert {path.name: faults for path in checked if (faults := _faults(path.read_text(encoding="utf-8")))} == {}


def test_the_guard_sees_what_it_is_for():
    for bad in (
        "import pickle", "from torch import load", "torch.load(p)", "np.load(p, allow_pickle=True)", "eval(x)",
        "os.system(x)", "subprocess.run(x, shell=True)", "yaml.load(x, Loader=yaml.Loader)",
    ):  # fmt: skip
        assert _faults(bad), bad
    assert _faults("import copyreg\nnp.load(p)\nmodel.eval()") == []


def test_no_call_that_only_posix_has_stands_unguarded():
    """Windows without a Windows: os.fork, os.getuid, fcntl and the like would be met there first."""
    posix = ("os.fork", "os.getuid", "os.geteuid", "os.chown", "os.mkfifo", "os.killpg", "os.setsid", "os.statvfs")
    found = []
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [
            f"{path.name}: {ast.unparse(n)}"
            for n in ast.walk(tree)
            if isinstance(n, ast.Attribute) and ast.unparse(n) in posix
        ]
        found += [
            f"{path.name}: {n.names[0].name}"
            for n in ast.walk(tree)
            if isinstance(n, ast.Import) and n.names[0].name in ("fcntl", "pwd", "grp", "resource", "termios")
        ]
    assert found == []
