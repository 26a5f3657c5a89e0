/** `check`: finds what a deploy of a program would break. `contracts`: writes a program's contracts to a file. */
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import process from "node:process";
import { isCatgaError } from "../../error.ts";
import { systemClock } from "../../ports/clock.ts";
import { listed, printable, printableJson } from "../../data/printable.ts";
import type { Finding } from "../../check/finding.ts";
import type { Program } from "../../check/program.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { eventForms, looksOf } from "../cluster/contract_looks.ts";
import { importFile } from "../cluster/program_module.ts";
import { bold, dim, type Terminal } from "../terminal/terminal.ts";

/** The `check` command of the tool. */
export const check: CliCommand = {
  name: "check",
  words: "FILE…",
  summary: "says what a deploy of a program would break",
  flags: ["against", "service", "allow-unknown"],
  more: `
FILE are the modules of the program, with the contracts, handlers, entities and
workflows that it passes to catga() and sends. They are loaded, and no handler
runs; one that calls catga() would start a node. --against FILE compares with
what \`catga contracts\` printed of an older version. --nats URL, or --file PATH,
compares with the nodes that run and passes all that is stored through the
program: messages, schedules, events, snapshots, results; open runs of workflows
are replayed up to where a step would begin.
--service is the service that it is a version of, that whose nodes handle most
of its contracts unless given. It only reads.

BREAK: messages would be refused, or nobody would handle them; the exit code is
1. UNKNOWN: it could not be judged; the exit code is 2, or 0 with
--allow-unknown. NOTE: it would break if the deploy was taken back.`,
  async run(files, flags, terminal) {
    const against = flags.text("against");
    const isRunning = flags.has("nats") || flags.has("file");
    if (against === undefined && !isRunning) {
      throw new UsageError("check takes --against contracts.json, or --nats URL, or --file PATH");
    }
    const program = await load(files);
    const findings: Finding[] = [];
    let undescribed: readonly string[] = [];
    if (against !== undefined) {
      const { compare } = await import("../../check/comparison.ts");
      const { describe, readDescription } = await import("../../check/description.ts");
      const before = readDescription(await textOf(against));
      if (typeof before === "string") throw new UsageError(`${against}: ${before}`);
      findings.push(...compare(before, describe(program)));
    }
    if (isRunning) {
      try {
        const compared = await running(program, flags, terminal);
        findings.push(...compared.findings);
        undescribed = compared.undescribed;
      } catch (error) {
        if (!isCatgaError(error)) throw error;
        // the running nodes could not be read, so neither a break nor the absence of breaks can be reported
        terminal.say(printable(`${error.code}: ${error.message}`));
        return UNJUDGED;
      }
    }
    return report(findings, undescribed, flags, terminal);
  },
};

/** The `contracts` command of the tool. */
export const contracts: CliCommand = {
  name: "contracts",
  words: "FILE…",
  summary: "prints the contracts of a program",
  flags: [],
  more: `
FILE are the modules of the program, as for \`catga check\`. The result is kept
in the repository, and made anew with each deploy:
catga contracts src/*.ts > contracts.json`,
  async run(files, _, terminal) {
    const { describe, descriptionText } = await import("../../check/description.ts");
    terminal.write(descriptionText(describe(await load(files))));
    return DONE;
  },
};

/**
 * Compares a program with the running nodes and with the stored data. Returns the breaks that it finds, and the names
 * of the contracts that the nodes of other services do not describe.
 */
async function running(
  program: Program,
  flags: Flags,
  terminal: Terminal,
): Promise<{ readonly findings: readonly Finding[]; readonly undescribed: readonly string[] }> {
  const { compareLooks, compareRunning, serviceOf, silentNodes, undescribed } = await import("../../check/running.ts");
  const { checkStored } = await import("../../check/stored.ts");
  const { checkRuns } = await import("../../check/half_done.ts");
  return await ClusterView.during(flags, terminal, async (view) => {
    const stored = await view.administration().stored();
    const cluster = { nodes: await view.nodes(), stored };
    const service = flags.text("service") ?? serviceOf(program, cluster);
    if (service === undefined) {
      terminal.say(printable(`nothing of this program runs ${view.place}: --service names it`));
    } else if (![...cluster.nodes, ...stored].some((each) => each.service === service)) {
      terminal.say(printable(`the service ${service} has neither nodes nor subscriptions ${view.place}`));
    }
    let said = Date.now();
    const progress = (what: string, count: number) => {
      if (terminal.columns === undefined || Date.now() - said < PROGRESS_INTERVAL) return;
      said = Date.now();
      terminal.say(printable(`${what}: ${count} were read`));
    };
    const asker = view.asker();
    const { looks, silent } = await looksOf(asker, cluster.nodes, new Set(program.contracts.keys()));
    const events = [...program.contracts].flatMap(([name, { contract }]) => contract.kind === "event" ? [name] : []);
    const forms = await eventForms(asker, cluster.nodes, { names: new Set(events), silent });
    const durable = new Map(forms.map(({ node, name, durable }) => [`${node.id} ${name}`, durable]));
    asker[Symbol.dispose]();
    const [log, entities, subscriptions] = await Promise.all([
      view.stream("log"),
      view.stream("entities"),
      view.stream("subscriptions"),
    ]);
    const findings = [
      ...compareRunning(program, { ...cluster, durable }, service),
      ...compareLooks(program, looks, service),
      ...silentNodes(program, silent, service),
      ...await checkStored(program, {
        ...{ namespace: view.namespace, log, entities, subscriptions, stored, service },
        snapshots: await view.bucket("snapshots"),
        idempotency: await view.bucket("idempotency"),
        ...{ clock: systemClock, progress },
      }),
      ...await checkRuns(program, {
        ...{ namespace: view.namespace, entities, clock: systemClock, random: view.transport.random, progress },
      }),
    ];
    return { findings, undescribed: undescribed(program, { nodes: cluster.nodes, looks, silent }, service) };
  });
}

/**
 * Loads the modules of a program. Throws a {@link UsageError} if one cannot be loaded, or if they declare no
 * contract.
 */
export async function load(files: readonly string[]): Promise<Program> {
  const { programOf } = await import("../../check/program.ts");
  const modules: unknown[] = [];
  for (const file of files) modules.push(await importFile(file));
  const program = programOf(modules);
  if (program.contracts.size + program.entities.size + program.workflows.size > 0) return program;
  const which = "give the files that export them, not one that passes them to catga()";
  throw new UsageError(`${files.join(", ")}: no contract, handler, entity or workflow is exported: ${which}`);
}

async function textOf(file: string): Promise<string> {
  try {
    return await readFile(resolve(process.cwd(), file), "utf8");
  } catch (error) {
    throw new UsageError(`${file} cannot be read: ${(error as Error).message}`);
  }
}

/**
 * Prints the breaks found, and which contracts other services do not describe (`undescribed`). Returns the exit code.
 */
function report(
  findings: readonly Finding[],
  undescribed: readonly string[],
  flags: Flags,
  terminal: Terminal,
): number {
  const count = (level: Finding["level"]) => findings.filter((each) => each.level === level).length;
  const [breaks, unknown] = [count("break"), count("unknown")];
  if (flags.has("json")) {
    terminal.write(`${printableJson({ ok: breaks === 0, breaks, unknown, findings, undescribed })}\n`);
  } else {
    const lines = findings.toSorted((a, b) => ORDER[a.level] - ORDER[b.level]).flatMap((each) => {
      const { level, message, count, example, advice } = each;
      const where = [
        count === undefined ? "" : `${count} of them`,
        example === undefined ? "" : `for example ${example}`,
      ];
      const rest = where.filter((part) => part !== "").join(", ");
      return [
        `${bold(terminal, LEVELS[level])}  ${printable(message)}${rest === "" ? "" : ` (${printable(rest)})`}.`,
        `         ${dim(terminal, printable(advice))}`,
      ];
    });
    const said = breaks === 0
      ? "Nothing would break"
      : breaks === 1
      ? "1 thing would break"
      : `${breaks} things would break`;
    const open = unknown === 0 ? "" : `, ${unknown} could not be judged`;
    terminal.write(`${[...lines, `${said}${open}.`].join("\n")}\n`);
    if (undescribed.length > 0) {
      const which = listed(undescribed, ", ", MOST_NAMED);
      const why = "they describe only contracts with a schema or `version`";
      terminal.say(printable(`Not compared with the programs of other services, for ${why}: ${which}`));
    }
  }
  if (breaks > 0) return FAILED;
  return unknown > 0 && !flags.has("allow-unknown") ? UNJUDGED : DONE;
}

const ORDER = { break: 0, unknown: 1, note: 2 } as const;
const LEVELS = { break: "BREAK  ", unknown: "UNKNOWN", note: "NOTE   " } as const;
/** Exit code if no certain break was found, but some part of the program could not be judged. */
const UNJUDGED = 2;
/** Number of undescribed contracts that are named; with `--json`, all are. */
const MOST_NAMED = 10;
/** Interval at which `check` prints its progress, in ms. */
const PROGRESS_INTERVAL = 2_000;
