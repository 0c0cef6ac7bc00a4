from dataclasses import replace

import pytest

from mediseg.errors import UsageError
from mediseg.node.config import Caller, Destination, Rule, WebDestination, check_files, load_config

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


def test_files_are_looked_for_beside_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    elsewhere = (tmp_path.parent / "b.pem").as_posix()
    secured = WHOLE + f"tls: {{certificate: a.pem, key: a.key, authority: '{elsewhere}'}}\n"
    secured = secured.replace("quiet_seconds", '  - {url: "https://pacs/web", authorization: pacs.txt}\nquiet_seconds')
    config = _load(tmp_path, secured)
    assert config.tls.certificate == str(tmp_path / "a.pem")
    assert (config.tls.key, config.tls.authority) == (str(tmp_path / "a.key"), str(tmp_path.parent / "b.pem"))
    assert config.destinations[1] == WebDestination("https://pacs/web", str(tmp_path / "pacs.txt"), None)


def test_a_file_that_is_not_there_is_named(tmp_path):
    config = _load(tmp_path, WHOLE + "tls: {certificate: a.pem, key: a.key, authority: b.pem}\n")
    with pytest.raises(UsageError, match=r"tls: certificate: there is no file .*a\.pem"):
        check_files(config)
    for name in ("a.pem", "a.key", "b.pem"):
        (tmp_path / name).write_text("")
    check_files(config)
    web = replace(config, destinations=(WebDestination("https://pacs/web", str(tmp_path / "pacs.txt")),))
    with pytest.raises(UsageError, match=r"destinations: authorization: there is no file .*pacs\.txt"):
        check_files(web)


def test_a_rule_is_told_in_words():
    assert str(Rule("bias", modality="^MR$", body_part="head")) == "modality ^MR$, body_part head"
    assert str(Rule("bias")) == "anything"
