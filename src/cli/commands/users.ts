/**
 * `users`: prints the NATS users that a program needs, as a part of a nats-server's configuration: an operator, who
 * makes the buckets and streams, and the program's nodes. The permissions are those of docs/nats.conf, as far as the
 * program's declarations ask for them.
 */
import type { Program } from "../../check/program.ts";
import { isToken } from "../../data/checks.ts";
import { STREAM_KINDS } from "../../log/format/streams.ts";
import { type StreamKind, streamName } from "../../log/format/stream_name.ts";
import { type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";
import { load } from "./check.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { UsageError } from "../terminal/flags.ts";

/** The `users` command of the tool. */
export const users: CliCommand = {
  name: "users",
  words: "FILE…",
  summary: "prints the NATS users that a program needs",
  needsNats: "a file has no users",
  flags: ["as", "service"],
  more: `
FILE are the modules of the program, as for \`catga check\`. Prints the part
\`authorization\` of a nats-server's configuration for --namespace: the user
\`operator\`, who runs \`catga setup\` before the first start, and a user for each
node that --as names, whose id, user and inbox (inboxPrefix "_INBOX_ID") have
this name. Without --as there is one user for all nodes of --service (app):
with it each node can send in the name of every other.
Put your own passwords in, or nkeys. A comment says what lines are for: leave
out locks and the cache if the program has none. Connects to no server.`,
  async run(files, flags, terminal) {
    const named = flags.texts("as");
    const wrong = named.find((id) => !isToken(id, 128));
    if (wrong !== undefined) {
      throw new UsageError(`--as is the id of a node, of letters, digits, - and _; got ${JSON.stringify(wrong)}`);
    }
    const program = await load(files);
    const { namespace } = flags;
    const service = flags.text("service") ?? "app";
    if (!isToken(service, 128)) {
      throw new UsageError(`--service has letters, digits, - and _; got ${JSON.stringify(service)}`);
    }
    const nodes = named.length > 0
      ? named.map((id) => userText(id, nodePermissions(program, namespace, id, `_INBOX_${id}`)))
      : [userText(service, nodePermissions(program, namespace, "*", `_INBOX_${service}`))];
    const all = [userText("operator", operatorPermissions(namespace)), ...nodes];
    terminal.write(`authorization {\n  users: [\n${all.join("")}  ]\n}\n`);
    return DONE;
  },
};

/** Permissions of one user: subjects, and lines that begin with `#`, which say what the next subjects are for. */
interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

function userText(user: string, { publish, subscribe }: Permissions): string {
  const lines = (subjects: readonly string[]) =>
    subjects.map((each) => `          ${each.startsWith("#") ? each : JSON.stringify(each)}\n`).join("");
  return `    {
      user: ${user}, password: "a secret of ${user}"
      permissions: {
        publish: { allow: [
${lines(publish)}        ] }
        subscribe: { allow: [
${lines(subscribe)}        ] }
      }
    }
`;
}

function operatorPermissions(namespace: string): Permissions {
  const streams = [
    ...(Object.keys(BUCKETS) as BucketKind[]).map((kind) => bucketStream(namespace, kind)),
    ...STREAM_KINDS.map((kind) => streamName(namespace, kind)),
  ];
  return {
    publish: [
      "# catga setup",
      ...streams.flatMap((stream) => [`$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.CREATE.${stream}`]),
      "# the server's time, where the tokens of a bucket begin",
      "$SYS.REQ.USER.INFO",
    ],
    subscribe: ["_INBOX.>"],
  };
}

/** Returns what the nodes of a program may do; `id`: the id of its node, or `*`. */
function nodePermissions(program: Program, namespace: string, id: string, inbox: string): Permissions {
  const { keepsLog, usesLog, usesEntities, startsRuns, isIdempotent } = needsOf(program);
  const bucket = (kind: BucketKind, ...verbs: readonly string[]) => {
    const [name, stream] = [bucketName(namespace, kind), bucketStream(namespace, kind)];
    return [`$KV.${name}.>`, ...verbs.map((verb) => api(verb, stream))];
  };
  const stream = (kind: StreamKind, ...verbs: readonly string[]) =>
    verbs.map((verb) => api(verb, streamName(namespace, kind)));
  const at = `catga.${namespace}`;
  return {
    publish: [
      "# frames to other nodes, events, its record",
      id === "*" ? `${at}.node.>` : `${at}.node.*.*.${id}.*`,
      `${at}.event.>`,
      ...bucket("nodes", ...ENTRIES, ...READER),
      "# locks and leadership",
      ...bucket("locks", ...ENTRIES, ...READER),
      ...(isIdempotent ? ["# idempotent commands", ...bucket("idempotency", ...ENTRIES, ...READER)] : []),
      "# the cache",
      ...bucket("cache", ...ENTRIES),
      ...(usesLog
        ? [
          "# the log: durable events, queued commands, schedules, follow",
          `${at}.log.>`,
          `${at}.at.>`,
          ...stream("log", "STREAM.INFO", "STREAM.MSG.GET", ...READER),
        ]
        : []),
      ...(keepsLog
        ? [
          "# its subscriptions: how far they are, what they have parked, its lease",
          `${at}.sub.>`,
          ...stream("subscriptions", "STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE", ...READER),
        ]
        : []),
      ...(usesEntities
        ? [
          "# entities and runs of workflows: commands, load, forget, subscriptions to their events",
          `${at}.entity.>`,
          ...stream("entities", "STREAM.INFO", "STREAM.MSG.GET", "STREAM.PURGE", ...READER),
          ...bucket("snapshots", ...ENTRIES),
        ]
        : startsRuns.length > 0
        ? [
          "# runs that it starts: whoever may write here decides what they do",
          ...startsRuns.map((workflow) => `${at}.entity.${workflow}-run.*`),
          ...stream("entities", "STREAM.INFO", "STREAM.MSG.GET", ...READER),
        ]
        : []),
      "# much at once (flow control); answers to plain requests",
      "$JS.FC.>",
      `_REPLY.${namespace}.>`,
    ],
    subscribe: [
      "# frames to it, and what nobody took of its own",
      `${at}.node.${id}.>`,
      `${at}.bounce.${id}.>`,
      "# events; plain requests; nats micro ls; answers of JetStream",
      `${at}.event.>`,
      `${at}.call.>`,
      "$SRV.>",
      `${inbox}.>`,
    ],
  };
}

/** The parts of Catga that a program uses, by its declarations. */
interface Needs {
  /** True if the program publishes durable events, enqueues commands, or starts runs of workflows. */
  readonly usesLog: boolean;
  /** True if it handles stored messages. */
  readonly keepsLog: boolean;
  /** True if it handles commands of entities, their events, or workflows; or loads entities. */
  readonly usesEntities: boolean;
  /** Workflows that it has no handler of. */
  readonly startsRuns: readonly string[];
  readonly isIdempotent: boolean;
}

function needsOf({ contracts, entities, workflows }: Program): Needs {
  const all = [...contracts.values()];
  const isStored = all.some(({ contract: { options } }) => options.durable);
  const handlesRuns = [...workflows.values()].some(({ body }) => body !== undefined);
  const handlesStored = all.some(({ handled, contract: { options } }) => handled && options.durable);
  const usesEntities = handlesRuns || entities.size > 0 ||
    all.some(({ contract: { options } }) => options.entity !== undefined);
  return {
    usesLog: isStored || workflows.size > 0,
    keepsLog: handlesStored || handlesRuns,
    usesEntities,
    startsRuns: [...workflows].flatMap(([name, { body }]) => body === undefined ? [name] : []),
    isIdempotent: all.some(({ handled, contract: { options } }) => handled && options.idempotent),
  };
}

function bucketStream(namespace: string, kind: BucketKind): string {
  return bucketStreamName(bucketName(namespace, kind));
}

function api(verb: string, stream: string): string {
  return `$JS.API.${verb}.${stream}${verb.startsWith("CONSUMER") ? ".>" : ""}`;
}

/** Requests about the entries of a bucket. */
const ENTRIES = ["STREAM.INFO", "STREAM.MSG.DELETE", "STREAM.MSG.GET"];
/** Requests of readers of a bucket, or of a stream. */
const READER = ["CONSUMER.CREATE", "CONSUMER.DELETE"];
