"""Validate an RO-Crate with roc-validator, without a connection; run by the Python that has it.

    python validate_crate.py CRATE PROFILE CONTEXT

CONTEXT is a file that stands for the JSON-LD context on w3id.org: that of RO-Crate 1.3, which the
package rocrate brings along and which has all terms of 1.1. Prints a JSON list of what is found,
[severity, check, message] each."""

import email.message
import io
import json
import sys
from pathlib import Path
from urllib.response import addinfourl

import rdflib.parser
import requests
from rocrate_validator import services
from rocrate_validator.utils.http import HttpRequester

crate, profile, context = sys.argv[1:]
ADDRESS, TYPE = "https://w3id.org/ro/crate/1.1/context", "application/ld+json"


def urlopen(request):
    assert request.full_url == ADDRESS, request.full_url
    headers = email.message.Message()
    headers["Content-Type"] = TYPE
    return addinfourl(io.BytesIO(Path(context).read_bytes()), headers, ADDRESS, 200)


def get(_, url, **__):
    assert url == ADDRESS, url
    made = requests.Response()
    made.status_code, made._content = 200, Path(context).read_bytes()
    made.headers["Content-Type"] = TYPE
    return made


rdflib.parser._urlopen = urlopen
HttpRequester.get = get
settings = services.ValidationSettings(
    rocrate_uri=crate, profile_identifier=profile, requirement_severity="RECOMMENDED"
)
issues = services.validate(settings).get_issues()
print(json.dumps([[i.severity.name, i.check.identifier, i.message] for i in issues]))
