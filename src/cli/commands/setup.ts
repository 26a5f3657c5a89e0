/**
 * `setup`: creates the buckets and streams of a namespace, so that no node needs the permission to create them. The
 * command grants no permissions: see docs/security.md.
 */
import { type BucketKind, bucketName, BUCKETS, bucketStreamName } from "../../ports/key_value_store.ts";
import { isCatgaError } from "../../error.ts";
import { STREAM_KINDS, streamOptions } from "../../log/format/streams.ts";
import { type StreamKind, streamName } from "../../log/format/stream_name.ts";
import { bucketSettings } from "../../nats/stream/stream_settings.ts";
import { logSettings } from "../../nats/log/log_settings.ts";
import { ClusterView, isStream, MISMATCHES } from "../cluster/cluster_view.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { printable } from "../../data/printable.ts";
import type { Terminal } from "../terminal/terminal.ts";
import { print } from "../terminal/listing.ts";

const KINDS = Object.keys(BUCKETS) as readonly BucketKind[];
const ALL: readonly (BucketKind | StreamKind)[] = [...KINDS, ...STREAM_KINDS];

/** The `setup` command of the tool. */
export const setup: CliCommand = {
  name: "setup",
  words: "[BUCKET…]",
  summary: "makes or checks a namespace's buckets and streams",
  needsNats: "a file is made by the first start of its program",
  flags: ["replicas", "print"],
  more: `
The buckets are ${KINDS.join(", ")}; the
streams are ${STREAM_KINDS.join(", ")}: all of them, or those that are
named. A node whose NATS user may not make them needs them before it starts.
--replicas N must equal the option \`replicas\` of the nodes.

What exists is checked, and never changed. For a bucket that nodes would refuse
(because it republishes writes on other subjects, for instance) the reason is
printed, and the exit code is 1.

--print prints \`nats\` commands that do the same, and connects to no server. The
revisions of a bucket start at the time of printing: print the commands anew for
a bucket that was lost, or its fencing tokens would go down.`,
  async run(words, flags, terminal) {
    const unknown = words.find((word) => !ALL.some((kind) => kind === word));
    if (unknown !== undefined) {
      throw new UsageError(`there is no bucket or stream ${JSON.stringify(unknown)}; there are ${ALL.join(", ")}`);
    }
    const wanted = words.length === 0 ? ALL : ALL.filter((kind) => words.includes(kind));
    const replicas = flags.number("replicas", 1, 5) ?? 1;
    if (flags.has("print")) return printCommands(wanted, replicas, flags, terminal);
    return await ClusterView.during(flags, terminal, async (view) => {
      let code = DONE;
      for (const kind of wanted) {
        const name = isStream(kind) ? streamName(view.namespace, kind) : bucketName(view.namespace, kind);
        try {
          const done = await view.setUp(kind, replicas) ? "made" : "checked";
          const row = isStream(kind) ? { stream: name, done } : { bucket: name, done };
          print(terminal, flags.has("json"), row, `${done} ${name}`);
        } catch (error) {
          if (!isCatgaError(error) || !MISMATCHES.has(error.code)) throw error;
          code = FAILED;
          terminal.say(printable(`${error.code}: ${error.message}`));
        }
      }
      return code;
    });
  },
};

function printCommands(kinds: typeof ALL, replicas: number, flags: Flags, terminal: Terminal): number {
  for (const kind of kinds) {
    const config = configOf(kind, flags.namespace, replicas);
    if (flags.has("json")) terminal.write(`${JSON.stringify(config)}\n`);
    else {
      const file = `${config.name}.json`;
      terminal.write(
        `cat > ${file} <<'EOF'\n${JSON.stringify(config, null, 2)}\nEOF\n` +
          `nats stream add ${config.name} --config ${file}\n`,
      );
    }
  }
  return DONE;
}

function configOf(kind: BucketKind | StreamKind, namespace: string, replicas: number) {
  if (isStream(kind)) {
    // these settings are for nats-server 2.12 or newer: streams of older servers, which have no schedules, must be
    // set up over a connection
    const settings = logSettings(streamOptions(namespace, kind, replicas));
    return { name: streamName(namespace, kind), ...settings, first_seq: Date.now() };
  }
  const bucket = bucketName(namespace, kind);
  const settings = bucketSettings(bucket, { ...BUCKETS[kind], replicas });
  return { name: bucketStreamName(bucket), ...settings, first_seq: Date.now() * 1_000 };
}
