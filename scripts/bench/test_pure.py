"""The parts of the benchmark that need neither root nor time. Run by scripts/test.sh."""

import sys
import types
import unittest
import xml.etree.ElementTree

import columns
import picture
import plan
import policy
import report
import samples
from load import sample


def peer(key, *paths):
    return types.SimpleNamespace(key=key, title=f"{key} <&> \"it\"", paths=paths or ("internet",), overhead=1.0)


def cell(peer, column, *rates):
    return [
        {"peer": peer, "column": column, "round": at, "rate": rate, "rate_per_busy_cpu": rate / 2}
        for at, rate in enumerate(rates, 1)
    ]


class Samples(unittest.TestCase):
    def test_median_and_ratio_take_rounds_that_both_have(self):
        found = cell("postern", "tcp1", 4, 6, 100) + cell("kernel", "tcp1", 2, 2)
        above, below = (samples.values(found, key, "tcp1") for key in ("postern", "kernel"))
        self.assertEqual(samples.median(above), 6)
        self.assertEqual(samples.ratio(above, below), (3, 2, 3))

    def test_failed_rounds_are_no_values_and_have_a_reason(self):
        failed = {"peer": "pasta", "column": "tcp1", "round": 1, "error": "no route"}
        self.assertEqual(samples.values([failed], "pasta", "tcp1"), {})
        self.assertEqual(samples.reason([failed], "pasta", "tcp1"), "no route")
        self.assertIsNone(samples.ratio({}, {1: 2}))
        self.assertIsNone(samples.ratio({1: 2}, {1: 0}))

    def test_numbers_for_people(self):
        for value, expected in ((9.87e9, "9.87G"), (140_000, "140k"), (1.5, "1.5"), (None, "-")):
            self.assertEqual(samples.short(value), expected)

    def test_processor_time_is_of_what_was_received(self):
        tcp, rr = (next(c for c in columns.ALL if c.key == key) for key in ("tcp1", "rr1"))
        found = sample(tcp, 8e9, 10, 15, {})
        self.assertAlmostEqual(found["busy_cpus"], 1.5)
        self.assertAlmostEqual(found["cpu_s_per_gbit"], 15 / 80)
        self.assertAlmostEqual(found["rate_per_busy_cpu"], 8e9 / 1.5)
        self.assertAlmostEqual(sample(rr, 100_000, 10, 5, {})["cpu_s_per_million"], 5)


class Plans(unittest.TestCase):
    def setUp(self):
        self.peers = [peer("postern", "internet", "nic"), peer("kernel"), peer("ovs")]
        self.columns = [c for c in columns.ALL if c.key in ("tcp1", "tcp4_back", "nic_tcp1")]

    def test_full_peers_have_every_round_and_others_fewer(self):
        planned = plan.steps(self.columns, self.peers, 5, 10, 2, 4, False)
        count = lambda key: sum(step.peer.key == key for step in planned)
        self.assertEqual([count(key) for key in ("postern", "kernel", "ovs")], [15, 10, 4])
        self.assertEqual(plan.duration(planned), 25 * 11 + 4 * 5)

    def test_quick_takes_the_main_columns_of_others(self):
        planned = plan.steps(self.columns, self.peers, 1, 1, 1, 1, True)
        self.assertEqual([step.column.key for step in planned if step.peer.key == "ovs"], ["tcp1"])

    def test_a_column_can_be_for_some_peers_and_rounds(self):
        bbr = [c for c in columns.ALL if c.key == "tcp1_bbr"]
        planned = plan.steps(bbr, self.peers, 5, 10, 2, 4, False)
        self.assertEqual(sorted(s.peer.key for s in planned), ["kernel"] * 3 + ["postern"] * 3)

    def test_the_whole_run_fits_into_its_limit(self):
        every = [peer("postern", "internet", "nic", "native", "st6"), peer("kernel", "internet", "nic", "native")]
        every += [peer(key) for key in ("loopback", "plain", "ovs", "slirp4netns", "pasta")]
        planned = plan.steps(columns.ALL, every, 5, 10, 2, 3, False)
        # Less the profiles, of which one waits for its policy and its flows.
        self.assertLess(plan.duration(planned), 45 * 60 - 5 * (40 + 10 + 12))

    def test_the_peers_of_a_column_follow_one_another(self):
        planned = plan.steps(self.columns, self.peers, 2, 1, 2, 1, False)
        cells = [(step.round, step.column.key) for step in planned]
        self.assertEqual(cells, sorted(cells, key=lambda c: (c[0], [x.key for x in self.columns].index(c[1]))))


class Reports(unittest.TestCase):
    def test_targets_are_reached_missed_or_explained(self):
        found = cell("postern", "tcp1", 10) + cell("kernel", "tcp1", 10) + cell("ovs", "tcp1", 20)
        found.append({"peer": "pasta", "column": "tcp1", "round": 1, "error": "a|b"})
        rows = report.targets(found).splitlines()[2:]
        ends = {row.split(" | ")[0]: row.rsplit(" | ", 1)[1] for row in rows}
        self.assertEqual(ends["| TCP, 1 stream / kernel"], "reached |")
        self.assertEqual(ends["| TCP, 1 stream / Open vSwitch"], "missed |")
        self.assertEqual(ends["| TCP, 1 stream / pasta"], "not measured: a\\|b |")

    def test_targets_name_columns_that_there_are(self):
        known = {column.key for column in columns.ALL}
        named = {side[1] for row in report.TARGETS for side in row[1:3]}
        self.assertLessEqual(named, known)

    def test_the_picture_is_well_formed(self):
        found = cell("postern", "tcp1", 1, 2) + cell("kernel", "tcp1", 1, 1)
        text = picture.svg(found, columns.INTERNET, [peer("postern"), peer("kernel")], 'a & b < "c"')
        root = xml.etree.ElementTree.fromstring(text)
        said = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn('a & b < "c"', said)
        self.assertIn("1.50", said)

    def test_markup_is_escaped(self):
        self.assertEqual(picture.escape("<a href=\"b\">'&"), "&lt;a href=&quot;b&quot;&gt;&apos;&amp;")


class Policies(unittest.TestCase):
    def test_every_peer_has_every_rule(self):
        self.assertEqual(len(policy.RULES), 10)
        self.assertEqual(policy.nft().count(" drop") - policy.nft().count("policy drop"), 8 + 2 + 3)
        outbound = [rule for rule in policy.RULES if rule[1] == "Outbound"]
        self.assertEqual(policy.openflow().count("table=2,"), len(outbound))
        self.assertIn("20.60.16.0/24", policy.service_prefixes())


if __name__ == "__main__":
    sys.exit(unittest.main())
