import { assertEquals } from "@std/assert";
import { it } from "node:test";
import { readReport, secondsOfFiles } from "./junit.ts";

const lines = (xml: string) => readReport(xml).map(({ outcome, name, file }) => `${outcome} ${name} (${file})`);

it("readReport: a report of Deno: each test counts once, describes do not count", () => {
  const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="8" failures="4" errors="0" time="0.242">
    <testsuite name="./a_test.ts" tests="4" disabled="1" errors="0" failures="3">
        <testcase name="fails" classname="./a_test.ts" time="0.004" line="4" col="1">
            <failure message="Uncaught AssertionError: 1 !== 2">&lt;testcase name=&quot;no&quot;&gt;</failure>
        </testcase>
        <testcase name="suite" classname="./a_test.ts" time="0.006" line="7" col="1">
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
        <testcase name="its before throws" classname="./a_test.ts" time="0.001" line="15" col="1">
            <failure message="Uncaught Error: before">Error: before</failure>
        </testcase>
        <testcase name="skipped &amp; done" classname="./a_test.ts" time="0.000" line="16" col="1">
            <skipped/>
        </testcase>
    </testsuite>
    <testsuite name="ext:deno_node/testing.ts" tests="4" disabled="1" errors="0" failures="1">
        <testcase name="suite &gt; one" classname="ext:deno_node/testing.ts" time="0.000" line="1" col="23191">
        </testcase>
        <testcase name="suite &gt; two" classname="ext:deno_node/testing.ts" time="0.001" line="1" col="21231">
            <failure message="Uncaught Error: boom">Error: boom</failure>
        </testcase>
        <testcase name="suite &gt; inner" classname="ext:deno_node/testing.ts" time="0.001" line="1" col="21231">
        </testcase>
        <testcase name="suite &gt; inner &gt; five" classname="ext:deno_node/testing.ts" time="0.000" line="1" col="21231">
        </testcase>
    </testsuite>
</testsuites>`;
  assertEquals(lines(report), [
    "failed fails (./a_test.ts)",
    "failed its before throws (./a_test.ts)",
    "skipped skipped & done (./a_test.ts)",
    "passed suite > one (ext:deno_node/testing.ts)",
    "failed suite > two (ext:deno_node/testing.ts)",
    "passed suite > inner > five (ext:deno_node/testing.ts)",
  ]);
});

it("readReport: a report of Bun: each test counts once, under the names of its describes", () => {
  const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="4" assertions="0" failures="1" skipped="1" time="0.05">
  <testsuite name="src/a_test.ts" file="src/a_test.ts" tests="4" assertions="0" failures="1" skipped="1" time="0.03">
    <testcase name="passes" classname="" time="0.001203" file="src/a_test.ts" line="3" assertions="0" />
    <testcase name="todo" classname="" time="0" file="src/a_test.ts" line="6" assertions="0">
      <skipped message="TODO" />
    </testcase>
    <testsuite name="suite" file="src/a_test.ts" line="7" tests="2" assertions="0" failures="1" skipped="0" time="0">
      <testcase name="two" classname="suite" time="0.000119" file="src/a_test.ts" line="9" assertions="0">
        <failure type="Error" message="boom &lt;x&gt;">Error: boom &lt;x&gt;&#10;</failure>
      </testcase>
      <testsuite name="inner" file="src/a_test.ts" line="12" tests="1" assertions="0" failures="0" skipped="0" time="0">
        <testcase name="five" classname="inner &gt; suite" time="0.000072" file="src/a_test.ts" line="12" assertions="0" />
      </testsuite>
    </testsuite>
  </testsuite>
</testsuites>`;
  assertEquals(lines(report), [
    "passed passes (src/a_test.ts)",
    "skipped todo (src/a_test.ts)",
    "failed suite > two (src/a_test.ts)",
    "passed suite > inner > five (src/a_test.ts)",
  ]);
});

it("readReport: a worker of Bun's that dies with its file is one failure, beside the tests that it had ended", () => {
  const report = `<testsuites name="bun test" tests="2" assertions="0" failures="1" skipped="0" time="0.6">
  <testsuite name="src/a_test.ts" file="src/a_test.ts" tests="2" assertions="0" failures="1" skipped="0" time="0.02">
    <testsuite name="suite" file="src/a_test.ts" line="3" tests="1" assertions="0" failures="0" skipped="0" time="0">
      <testcase name="fine" classname="suite" time="0.000717" file="src/a_test.ts" line="3" assertions="0" />
    </testsuite>
    <testcase name="(worker crashed)" classname="" time="0" file="src/a_test.ts" assertions="0">
      <failure type="Error" message="worker process crashed before reporting results" />
    </testcase>
  </testsuite>
</testsuites>`;
  assertEquals(lines(report), ["passed suite > fine (src/a_test.ts)", "failed (worker crashed) (src/a_test.ts)"]);
});

it("readReport: what Deno had not ended when a file ended its process is a failure of that file, and of each beside it", () => {
  const report = `<testsuites name="deno test" tests="4" failures="0" errors="2" time="0.104">
    <testsuite name="./a_test.ts" tests="1" disabled="0" errors="1" failures="0">
        <testcase name="a" classname="./a_test.ts" time="0.000" line="2" col="1">
            <error message="Cancelled"/>
        </testcase>
    </testsuite>
    <testsuite name="ext:deno_node/testing.ts" tests="2" disabled="1" errors="0" failures="0">
        <testcase name="exits &gt; fine" classname="ext:deno_node/testing.ts" time="0.001" line="1" col="23191">
        </testcase>
        <testcase name="exits &gt; now" classname="ext:deno_node/testing.ts" line="1" col="21231">
            <skipped/>
        </testcase>
    </testsuite>
    <testsuite name="./exits_test.ts" tests="1" disabled="0" errors="1" failures="0">
        <testcase name="exits" classname="./exits_test.ts" time="0.000" line="3" col="1">
            <error message="Cancelled"/>
        </testcase>
    </testsuite>
</testsuites>`;
  assertEquals(lines(report), [
    "failed a (./a_test.ts)",
    "passed exits > fine (ext:deno_node/testing.ts)",
    "skipped exits > now (ext:deno_node/testing.ts)",
    "failed exits (./exits_test.ts)",
  ]);
});

it("readReport: a failed test has its error: the text, or else the message", () => {
  const failed = (element: string) => `<testcase name="a" classname="./a_test.ts" time="0">${element}</testcase>`;
  const errors = readReport([
    failed('<failure message="Uncaught Error: a &lt; b\nmore">Error: a &lt; b\nmore\n    at a.ts:1</failure>'),
    failed('<failure type="Error" message="crashed&#10;before" />'),
    failed('<error message="Cancelled"/>'),
    failed(""),
  ].join("\n")).map(({ error }) => error);
  assertEquals(errors, ["Error: a < b\nmore\n    at a.ts:1", "crashed\nbefore", "Cancelled", undefined]);
});

it("readReport: an empty report has no test", () => {
  assertEquals(readReport('<?xml version="1.0"?><testsuites name="deno test" tests="0"></testsuites>'), []);
});

it("secondsOfFiles: in Deno the sum of a file's outermost tests, in Bun what the file's suite says", () => {
  const deno = `<testsuites name="deno test" time="9">
    <testsuite name="./.cache/test-1/src.a_test.ts" tests="2">
        <testcase name="suite" classname="./.cache/test-1/src.a_test.ts" time="2.500" line="7" col="1">
        </testcase>
        <testcase name="alone" classname="./.cache/test-1/src.a_test.ts" time="0.250" line="9" col="1"/>
    </testsuite>
    <testsuite name="ext:deno_node/testing.ts" tests="1">
        <testcase name="suite &gt; one" classname="ext:deno_node/testing.ts" time="2.400" line="1" col="1">
        </testcase>
    </testsuite>
    <testsuite name="./tools/sanitized/node_test.ts" tests="1">
        <testcase name="of any file" classname="./tools/sanitized/node_test.ts" time="7.000" line="1" col="1"/>
    </testsuite>
</testsuites>`;
  assertEquals([...secondsOfFiles(deno)], [[".cache/test-1/src.a_test.ts", 2.75]]);
  const bun = `<testsuites name="bun test" time="9">
  <testsuite name="src/a_test.ts" file="src/a_test.ts" tests="1" time="3.5">
    <testsuite name="suite" file="src/a_test.ts" line="7" tests="1" time="3.1">
      <testcase name="one" classname="suite" time="3.1" file="src/a_test.ts" line="9" assertions="0" />
    </testsuite>
  </testsuite>
</testsuites>`;
  assertEquals([...secondsOfFiles(bun)], [["src/a_test.ts", 3.5]]);
});
