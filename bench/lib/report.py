"""Medians, spreads and the table."""

import statistics


class Row:
    """A line of the table.

    ours, reference: measured values, one per run; reference may be empty.
    ratios: of neighbouring runs.  bounds: what is asked for.
    """

    def __init__(self, figure, what, unit, ours, reference=(), ratios=(),
                 bounds=(), note=''):
        self.figure = figure
        self.what = what
        self.unit = unit
        self.ours = list(ours)
        self.reference = list(reference)
        self.ratios = list(ratios)
        self.bounds = list(bounds)
        self.note = note

    def missed(self):
        return any(not bound.holds() for bound in self.bounds)


class Bound:
    """What is asked for: name, the value seen, "<=" or ">=", the limit."""

    def __init__(self, name, value, relation, limit):
        self.name = name
        self.value = value
        self.relation = relation
        self.limit = limit

    def holds(self):
        if self.relation == '<=':
            return self.value <= self.limit
        return self.value >= self.limit

    def __str__(self):
        return '%s %s %s %s: %s' % (
            self.name, number(self.value), self.relation, number(self.limit),
            'ok' if self.holds() else 'MISSED')


def median(values):
    return statistics.median(values)


def percentile(values, share):
    """The smallest value that share of them do not exceed."""
    ordered = sorted(values)
    at = -(-len(ordered) * share // 1) - 1

    return ordered[max(0, int(at))]


def number(value):
    size = abs(value)

    if size >= 100:
        return '%.0f' % value
    if size >= 10:
        return '%.1f' % value
    return '%.2f' % value


def spread(values):
    if not values:
        return '-'
    if len(values) == 1:
        return number(values[0])

    return '%s [%s-%s]' % (number(median(values)), number(min(values)),
                           number(max(values)))


def show(rows):
    """Prints the table, in the form that a markdown file wants."""
    head = ['figure', 'what', 'confluence', 'reference', 'ratio', 'asked for']
    lines = [head]

    for row in rows:
        lines.append([
            row.figure, '%s, %s' % (row.what, row.unit), spread(row.ours),
            spread(row.reference), spread(row.ratios),
            '; '.join(str(bound) for bound in row.bounds) or '-'])

    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    lines.insert(1, ['-' * width for width in widths])

    for line in lines:
        print('| ' + ' | '.join(cell.ljust(width) for cell, width
                                in zip(line, widths)) + ' |')

    print()

    for row in rows:
        if row.note:
            print('%s, %s: %s' % (row.figure, row.what, row.note))
