import pytest

from mediseg.errors import UsageError
from mediseg.node.config import Caller, Destination, Rule, load_config

WHOLE = """
folder: work
ae_title: MEDISEG
port: 0
callers:
  - {ae_title: SCANNER, address: 127.0.0.1}
  - {ae_title: ARCHIVE}
destinations:
  - {ae_title: PACS, host: 127.0.0.1, port: 4242}
quiet_seconds: 5
rules:
  - {recipe: scan-plan, modality: "^MR$", description: localizer}
  - {recipe: corpus-callosum, modality: MR, body_part: "head|brain"}
"""


def _load(tmp_path, text):
    path = tmp_path / "node.yaml"
    path.write_text(text)
    return load_config(path)


def test_a_whole_configuration(tmp_path):
    config = _load(tmp_path, WHOLE)
    assert config.folder == tmp_path / "work"
    assert config.callers == (Caller("SCANNER", "127.0.0.1"), Caller("ARCHIVE"))
    assert config.destinations == (Destination("PACS", "127.0.0.1", 4242),)
    assert [rule.recipe for rule in config.rules] == ["scan-plan", "corpus-callosum"]
    assert (config.host, config.quiet_seconds, config.free_mb) == ("127.0.0.1", 5, 2000.0)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("quiet_seconds", "quiet_second", r'"quiet_second" is unknown .did you mean "quiet_seconds"'),
        ("port: 0", "port: much", "port is 'much', and has to be int"),
        ("port: 0", "port: 70000", "there is no port 70000"),
        ("recipe: scan-plan", "recipe: scan-plam", 'did you mean "scan-plan"'),
        ("ae_title: PACS", "ae_title: A_TITLE_THAT_IS_TOO_LONG", "is no AE title"),
        ("description: localizer", 'description: "("', "is no pattern"),
        ("ae_title: ARCHIVE", "title: ARCHIVE", '"title" is unknown'),
        ("{ae_title: ARCHIVE}", "{address: 1.2.3.4}", "callers: ae_title must be given"),
        ("{ae_title: ARCHIVE}", "ARCHIVE", "an entry names its settings"),
        ("folder: work\n", "", "folder must be given"),
        ("rules:", "rules: []\nsettings:", "rules must be given"),
        (WHOLE, "just text", "is a list of settings"),
        ("callers:\n", "callers: all\nx:\n", "callers is a list"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path, old, new, message):
    with pytest.raises(UsageError, match=message) as caught:
        _load(tmp_path, WHOLE.replace(old, new))
    assert "\n" not in str(caught.value)


def test_a_rule_wants_all_its_patterns_of_one_series():
    rule = Rule("bias", modality="^MR$", description="t1")
    assert rule.fits({"modality": "MR", "description": "Sag T1 mprage", "body_part": ""})
    assert not rule.fits({"modality": "MR", "description": "T2", "body_part": ""})
    assert not rule.fits({"modality": "CT", "description": "T1", "body_part": ""})
    assert Rule("bias").fits({"modality": "", "description": "", "body_part": ""})
