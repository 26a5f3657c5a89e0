/** `setup`: creates the buckets of a namespace, so that no node needs the permission to. */
import { type BucketKind, bucketName, BUCKETS } from "../ports/buckets.ts";
import { isCatgaError } from "../error.ts";
import { bucketSettings } from "../nats/bucket_settings.ts";
import { ClusterView } from "./cluster_view.ts";
import { disposing } from "./disposing.ts";
import { type Command, DONE, FAILED } from "./command.ts";
import { type Flags, UsageError } from "./flags.ts";
import { printable } from "../data/printable.ts";
import type { Terminal } from "./terminal.ts";

const KINDS = Object.keys(BUCKETS) as readonly BucketKind[];

/** The command. */
export const setup: Command = {
  name: "setup",
  words: "[bucket…]",
  least: 0,
  most: KINDS.length,
  summary: "makes the buckets of a namespace, or checks them",
  flags: ["replicas", "print"],
  more: `
The buckets are ${KINDS.join(", ")}: all of them, or those that
are named. A node whose NATS user may not make buckets needs them before it
starts. --replicas N must equal the option \`replicas\` of the nodes.

An existing bucket is checked, and never changed. For one that nodes would
refuse (because it republishes writes on other subjects, for instance) the
reason is printed, and the exit code is 1.

--print prints \`nats\` commands that do the same, and connects to no server. The
revisions of a bucket start at the time of printing: print the commands anew for
a bucket that was lost, or its fencing tokens would go down.`,
  async run(words, flags, terminal) {
    const unknown = words.find((word) => !KINDS.some((kind) => kind === word));
    if (unknown !== undefined) {
      throw new UsageError(`there is no bucket ${JSON.stringify(unknown)}; there are ${KINDS.join(", ")}`);
    }
    const wanted = words.length === 0 ? KINDS : KINDS.filter((kind) => words.includes(kind));
    const replicas = flags.number("replicas", 1, 5) ?? 1;
    if (flags.has("print")) return print(wanted, replicas, flags, terminal);
    return await disposing(ClusterView.open(flags, terminal), async (view) => {
      let code = DONE;
      for (const kind of wanted) {
        const bucket = bucketName(view.namespace, kind);
        try {
          const done = await view.setUp(kind, replicas) ? "made" : "checked";
          terminal.write(flags.has("json") ? `${JSON.stringify({ bucket, done })}\n` : `${done} ${bucket}\n`);
        } catch (error) {
          if (!isCatgaError(error) || error.code !== "BUCKET_MISMATCH") throw error;
          code = FAILED;
          terminal.say(printable(`${error.code}: ${error.message}`));
        }
      }
      return code;
    });
  },
};

function print(kinds: readonly BucketKind[], replicas: number, flags: Flags, terminal: Terminal): number {
  for (const kind of kinds) {
    const bucket = bucketName(flags.namespace, kind);
    const config = {
      name: `KV_${bucket}`,
      ...bucketSettings(bucket, { ...BUCKETS[kind], replicas }),
      first_seq: Date.now() * 1_000,
    };
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
