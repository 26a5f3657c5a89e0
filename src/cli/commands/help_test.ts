import { describe, it } from "node:test";
import { assert, assertEquals, assertFalse, assertGreater, assertStringIncludes } from "@std/assert";
import { quietTerminal } from "../../../test/support/quiet_terminal.ts";
import { COMMAND_FLAGS, CONNECTION_FLAGS, type FlagSpec } from "../terminal/flags.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { COMMAND_GROUPS } from "./command_groups.ts";
import type { CliCommand } from "../terminal/cli_command.ts";
import { helpOf, helpOfAll } from "./help.ts";

const list: CliCommand = {
  ...{ name: "list", summary: "lists the teapots", flags: [], more: "\nNothing else." },
  run: () => Promise.resolve(0),
};
const brew: CliCommand = {
  ...list,
  ...{ name: "brew", words: "TEA [CUPS]", summary: "brews tea", flags: ["timeout", "header", "all"] },
};

describe("helpOf", () => {
  it("begins with the summary as a sentence, then the usage with the arguments, then the rest", () => {
    assertEquals(helpOf(brew, quietTerminal()).split("\n").slice(0, 7), [
      "Brews tea.",
      "",
      "Usage",
      "  catga brew TEA [CUPS] [options]",
      "",
      "Nothing else.",
      "",
    ]);
    assertStringIncludes(helpOf(list, quietTerminal()), "\n  catga list [options]\n");
  });

  it("lists the command's own options in their order, with short names and values, then those of all commands", () => {
    const [own, common] = ["Options", "Options of all commands"].map((title) =>
      section(helpOf(brew, quietTerminal()), title)
    );
    assertEquals(own.map((line) => line.trim().split(/ {2,}/)[0]), [
      "-t, --timeout TIME",
      "-H, --header NAME=VALUE",
      "--all",
    ]);
    assertEquals(common.map((line) => /--([\w-]+)/.exec(line)?.[1]), Object.keys(CONNECTION_FLAGS));
    const specs: FlagSpec[] = [COMMAND_FLAGS.timeout, COMMAND_FLAGS.header, COMMAND_FLAGS.all];
    const summaries = [...specs, ...Object.values(CONNECTION_FLAGS)].map(({ summary }) => summary);
    const columns = [...own, ...common].map((line, i) => [line.indexOf("--"), line.indexOf(summaries[i])]);
    for (const column of columns) assertEquals(column, columns[0]);
    assertGreater(columns[0][1], 0);
  });

  it("has no list of own options for a command without any", () => {
    assertFalse(helpOf(list, quietTerminal()).split("\n").includes("Options"));
  });

  it("titles are bold in a terminal with colors, and nothing else", () => {
    const text = helpOf(brew, quietTerminal({ colors: true }));
    // deno-lint-ignore no-control-regex -- what makes text bold
    const bold = [...text.matchAll(/\x1b\[1m(.*?)\x1b\[22m/g)].map(([, title]) => title);
    assertEquals(bold, ["Usage", "Options", "Options of all commands"]);
    assertEquals(text.replaceAll("\x1b[1m", "").replaceAll("\x1b[22m", ""), helpOf(brew, quietTerminal()));
  });
});

describe("helpOfAll", () => {
  it("lists the commands in the given order, with their arguments, and their summaries in one column", () => {
    const text = helpOfAll([list, brew], quietTerminal());
    assertEquals(section(text, "Commands"), [
      "  list             lists the teapots",
      "  brew TEA [CUPS]  brews tea",
    ]);
  });

  it("lists the options of all commands, --help and --version too, and none of a single command", () => {
    const options = section(helpOfAll([list, brew], quietTerminal()), "Options of all commands");
    const names = options.map((line) => /--([\w-]+)/.exec(line)?.[1]);
    assertEquals(names, [...Object.keys(CONNECTION_FLAGS), "help", "version"]);
    assert(options.some((line) => /^ {2}-h, --help +\S/.test(line)), options.join("\n"));
  });
});

describe("the groups of commands", () => {
  it("each command of catga is in one group, and its example is a command line that it takes", async () => {
    const { out } = await cliHere(["--help"]);
    const listed = COMMAND_GROUPS.flatMap(({ title }) =>
      section(out, title).map((line) => /^ {2}(\S+)/.exec(line)![1])
    );
    const grouped = COMMAND_GROUPS.flatMap(({ examples }) => Object.keys(examples));
    assertEquals(listed.toSorted(), grouped.toSorted());
    assertEquals(new Set(grouped).size, grouped.length);
    for (const [name, example] of COMMAND_GROUPS.flatMap(({ examples }) => Object.entries(examples))) {
      const [, first, ...words] = example.replace(/ > .*$/, "").replaceAll("'", "").split(" ");
      assertEquals(first, name);
      const help = await cliHere([name, "--help"]);
      assertStringIncludes(help.out, `Example\n  ${example}\n`);
      // its options are those of the command
      for (const flag of words.filter((word) => word.startsWith("--"))) assertStringIncludes(help.out, flag);
    }
  });
});

/** Returns the lines below a title, up to the next empty line. */
function section(text: string, title: string): string[] {
  const lines = text.split("\n");
  const below = lines.slice(lines.indexOf(title) + 1);
  return below.slice(0, below.indexOf(""));
}
