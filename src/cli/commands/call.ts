/**
 * `call`: sends a command or a query, or broadcasts it, and prints the answers.
 * @decides `catga call`, which sends from a shell
 */
import {
  type Catga,
  CatgaError,
  command,
  type Contract,
  event,
  type NodeInfo,
  query,
  type Result,
  type SendOptions,
  stream,
} from "../../../mod.ts";
import { printable, printableJson } from "../../data/printable.ts";
import { ClusterView } from "../cluster/cluster_view.ts";
import { joinCluster } from "../cluster/join_cluster.ts";
import { disposing } from "../cluster/connection.ts";
import { checkedToken, type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { declaredNames, noNodes } from "./nodes.ts";
import { bold, type Terminal } from "../terminal/terminal.ts";
import type { BroadcastResult } from "../../contract/calls/sender.ts";
import { type Kind, kindOf } from "../../contract/declaration/contract.ts";
import { readAnnouncement } from "../../contract/nodes/announcement.ts";
import { drivenWorkflow } from "../../contract/declaration/workflow.ts";

const ROUTES = ["round-robin", "hash", "least-loaded", "random"] as const;

type CalledContract =
  | Contract<"command" | "query", unknown, unknown>
  | Contract<"stream", unknown, unknown>
  | Contract<"event", unknown, void>;

/** The `call` command of the tool. */
export const call: CliCommand = {
  name: "call",
  words: "NAME [JSON]",
  summary: "sends a command or a query, and prints the answer",
  needsNats: "a file has one process, which sends to itself",
  flags: ["query", "node", "all", "id", "key", "route", "header", "timeout"],
  more: `
The payload is JSON; \`-\` reads it from standard input; without one the message
has no payload. The name of the contract is all that a sender needs: its kind
is in the records of the nodes, and the schema is checked by the node that
handles the message. An \`ordered\` contract without a key function needs a --key,
and one with --route hash goes to the node of the key.

A node of the service cli, without handlers, joins the cluster until the answer
has come (30 s at most; --timeout).

The answer goes to standard output, as JSON, and the exit code is 0. A failure
goes to standard error, with its code first, and the exit code is 1:

  $ catga call CreateOrder '{"sku":"tea","qty":0}'
  BAD_QUANTITY: cannot order 0 of tea (from orders-1)

A command whose node dies before it answers fails with OUTCOME_UNKNOWN; a query
is sent to another node (--query where the records do not say what it is). With
--all every node that handles the contract answers, and the exit code is 1 if
one of them failed; not for a command of an entity, which one node decides.`,
  async run([name, text], flags, terminal) {
    const payload = await readPayload(text, terminal);
    contractOf(name, "command");
    const options: SendOptions = { ...sendOptions(flags), signal: terminal.signal };
    return await ClusterView.during(flags, terminal, async (view) => {
      const present = await view.nodes();
      if (present.length === 0) {
        terminal.say(`NO_HANDLER: ${noNodes(view)}`);
        return FAILED;
      }
      const contract = contractOf(name, flags.has("query") ? "query" : recordedKind(name, present));
      if (contract.kind === "stream" && flags.has("all")) {
        throw new Error(`${name} is a stream, and one node makes its items: leave out --all`);
      }
      if (flags.has("all") && present.some(({ entities }) => entities?.includes(name))) {
        throw new Error(`${name} is a command of an entity, and one node decides it: leave out --all`);
      }
      return await disposing(joinCluster(view, flags, terminal), async (app) => {
        if (flags.has("all")) {
          // the contract is idempotent, so that each node gets another id: with one id for all, a command would run
          // on one node only
          const each = contract.kind === "command" ? command<unknown, unknown>(name, { idempotent: true }) : contract;
          return showAll(await app.broadcast(each, payload, options), name, flags, terminal);
        }
        if (contract.kind === "stream") {
          const { id: _, ...ofStream } = options;
          return await showItems(app.stream(contract, payload, ofStream), flags, terminal);
        }
        const result = contract.kind === "event"
          ? await sendEvent(app, contract, payload, options)
          : await app.send(contract, payload, options);
        if (result.ok) {
          terminal.write(answer(result.value, flags));
          return DONE;
        }
        sayError(result.error, flags, terminal);
        if (result.error.code === "NO_HANDLER" && !flags.has("json")) {
          const names = present.flatMap(({ handles }) => handles);
          const isDurable = contract.kind === "event" &&
            present.some(({ service, subscriptions = [] }) =>
              subscriptions.some((text) => readAnnouncement(service, text).category === name)
            );
          if (isDurable) terminal.say(`${name} is durable: a program publishes it, and subscriptions handle it`);
          else if (names.some((each) => drivenWorkflow(each) === name)) {
            terminal.say(`${name} is a workflow: a program starts it`);
          } else if (!names.includes(name)) {
            terminal.say(`there are handlers for ${declaredNames(names).join(", ") || "nothing"}`);
          }
        }
        return FAILED;
      });
    });
  },
};

/** Returns the kind of a contract, as the records of nodes name it; `"command"` if no record does. */
function recordedKind(name: string, nodes: readonly NodeInfo[]): Kind {
  for (const { handles, kinds = "" } of nodes) {
    const letter = kinds[handles.indexOf(name)];
    if (letter !== undefined) return kindOf(letter) ?? "command";
  }
  return "command";
}

/** Prints each item of a stream on its own line. */
async function showItems(items: AsyncIterable<unknown>, flags: Flags, terminal: Terminal): Promise<number> {
  try {
    for await (const item of items) terminal.write(`${printableJson(item) ?? "null"}\n`);
    return DONE;
  } catch (error) {
    if (!(error instanceof CatgaError)) throw error;
    sayError(error, flags, terminal);
    return FAILED;
  }
}

/** Runs the handlers of an event on one node, by a broadcast to that node. */
async function sendEvent(
  app: Catga,
  contract: CalledContract,
  payload: unknown,
  { route: _, ...options }: SendOptions,
): Promise<Result<unknown>> {
  const node = options.node ?? app.nodes().find(({ handles }) => handles.includes(contract.name))?.id;
  const [answer] = node === undefined ? [] : await app.broadcast(contract, payload, { ...options, node });
  if (answer !== undefined) return answer.result;
  return { ok: false, error: new CatgaError("NO_HANDLER", `no live node handles event ${contract.name}`) };
}

/** Makes a contract of this name without a schema: the receiving node checks the payload. */
function contractOf(name: string, kind: Kind): CalledContract {
  try {
    if (kind === "event") return event<unknown>(name);
    if (kind === "stream") return stream<unknown, unknown>(name);
    return kind === "query" ? query<unknown, unknown>(name) : command<unknown, unknown>(name);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

async function readPayload(text: string | undefined, terminal: Terminal): Promise<unknown> {
  if (text === undefined) return undefined;
  const json = text === "-" ? await terminal.read() : text;
  try {
    return JSON.parse(json);
  } catch (error) {
    const shown = JSON.stringify(json.length > 60 ? `${json.slice(0, 60)}…` : json);
    throw new UsageError(`the payload is not JSON: ${shown} (${(error as Error).message})`);
  }
}

function sendOptions(flags: Flags): SendOptions {
  const [id, key, node] = [flags.text("id"), flags.text("key"), flags.text("node")];
  if (node !== undefined) checkedToken("--node", node);
  const route = flags.choice("route", ROUTES);
  if (route === "hash" && key === undefined) throw new UsageError("--route hash needs a --key");
  if (id === "" || (id?.length ?? 0) > 256) throw new UsageError("--id takes 1 to 256 characters");
  for (const flag of ["node", "route"] as const) {
    if (flags.has(flag) && flags.has("all")) throw new UsageError(`--${flag} and --all exclude each other`);
  }
  const timeout = flags.duration("timeout");
  const headers = Object.fromEntries(
    flags.texts("header").map((text) => {
      const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
      if (name === undefined) throw new UsageError(`--header takes NAME=VALUE; got ${JSON.stringify(text)}`);
      return [name, value];
    }),
  );
  // a broadcast has no route, because it goes to all nodes
  return { id, key, node, timeout, headers, ...(route === undefined ? {} : { route }) };
}

/**
 * Formats a value as JSON: indented, or on one line with `--json`. `undefined` becomes an empty text, with `--json`
 * the text `null`.
 */
function answer(value: unknown, flags: Flags): string {
  if (value === undefined) return flags.has("json") ? "null\n" : "";
  return `${printableJson(value, flags.has("json") ? undefined : 2)}\n`;
}

/** Returns an error as an object for `--json`. */
function plain({ code, message, retryable, node, details }: CatgaError): Record<string, unknown> {
  return { code, message, retryable, node, details };
}

function sayError(error: CatgaError, flags: Flags, terminal: Terminal): void {
  if (flags.has("json")) return terminal.say(printableJson(plain(error))!);
  const { code, message, node, details } = error;
  terminal.say(printable(`${code}: ${message}${node === undefined ? "" : ` (from ${node})`}`));
  if (details !== undefined) terminal.say(printableJson(details, 2)!);
}

function showAll(answers: readonly BroadcastResult<unknown>[], name: string, flags: Flags, terminal: Terminal): number {
  if (answers.length === 0) {
    terminal.say(`NO_HANDLER: no live node handles ${name}`);
    return FAILED;
  }
  for (const { node, result } of answers) terminal.write(line(node, result, flags, terminal));
  return answers.every(({ result }) => result.ok) ? DONE : FAILED;
}

function line(node: string, result: Result<unknown>, flags: Flags, terminal: Terminal): string {
  const outcome = result.ok ? { value: result.value } : { error: plain(result.error) };
  if (flags.has("json")) return `${printableJson({ node, ok: result.ok, ...outcome })}\n`;
  const text = result.ok
    ? printableJson(result.value) ?? ""
    : printable(`${result.error.code}: ${result.error.message}`);
  return `${bold(terminal, printable(node))}${text === "" ? "" : `  ${text}`}\n`;
}
