"""The index page of a scale: links lead to where a folder is, whatever its name."""

import json
import re
from html import unescape
from urllib.parse import unquote

from conftest import ODD

from distill_nb import params
from distill_nb.report import index_page


def test_links_lead_to_folders_with_odd_names(tmp_path):
    scale = tmp_path / ODD / "pocket"
    folder = scale / f"{ODD} #1 50%20 <b>"  # a run that was copied by hand
    folder.mkdir(parents=True)
    record = {"parameters": dict(params.pocket_values()), "finished": True}
    (folder / "provenance_train.json").write_text(json.dumps(record))
    (folder / "train.html").touch()
    page = index_page.index(scale)
    text = page.read_text()
    (address,) = re.findall(r'<a href="([^"]*train\.html)">train</a>', text)
    assert not re.search(r"[ '\"#<é]", address)
    assert (page.parent / unquote(unescape(address))).samefile(folder / "train.html")
    assert "<b>" not in text
