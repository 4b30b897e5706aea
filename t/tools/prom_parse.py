#!/usr/bin/python3

"""Reads metrics of Prometheus from stdin with Prometheus' own client library,
and writes them as JSON: {"types": {family: type}, "values": {sample: value}},
a sample as name{label="value"}, labels in order of their names."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

types = {}
values = {}

for family in text_string_to_metric_families(sys.stdin.read()):
    if family.name in types:
        sys.exit('%s is there twice' % family.name)

    types[family.name] = family.type

    for s in family.samples:
        labels = ','.join('%s="%s"' % x for x in sorted(s.labels.items()))
        name = s.name + ('{%s}' % labels if labels else '')

        if name in values:
            sys.exit('%s is there twice' % name)

        values[name] = s.value

json.dump({'types': types, 'values': {k: 'Inf' if v == float('inf') else v
                                      for k, v in values.items()}}, sys.stdout)
