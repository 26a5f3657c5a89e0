/**
 * Questions by hand, over nats.js, and a direct get: who asks appends the question, a process that follows the stream
 * appends the answer behind it, and tells who has asked. The arguments: `node` or `client`, and the options.
 */
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { answer } from "./answer.ts";
import { type Answered, loop } from "./answered.ts";
import { ENDPOINT, openAppends } from "./appends.ts";
import { started } from "./remote.ts";

/** A question or its answer, with as many bytes as Catga's. */
interface Entry {
  readonly t: "asked" | "answered";
  readonly id: string;
  readonly by: string;
  readonly to?: string;
  readonly value: number;
}

const { side, options } = started();
const appends = await openAppends(options);
const { nc } = appends;
const subjectOf = (run: number) => `${options.group}.r${run}`;

if (side === "node") {
  const consumer = await jetstream(nc).consumers.get(options.group);
  await consumer.consume({
    callback(message) {
      const { t, id, to, value } = message.json<Entry>();
      if (t !== "asked") return;
      const made: Entry = { t: "answered", id, by: ENDPOINT, value };
      const told = () => nc.publish(to!, JSON.stringify(made));
      appends.append(message.subject, JSON.stringify(made), message.seq).then(told, console.error);
    },
  });
  answer({});
} else {
  const inbox = appends.createInbox();
  const waiting = new Map<string, () => void>();
  nc.subscribe(`${inbox}.*`, {
    callback: (_, { subject }) => waiting.get(subject)?.(),
  });
  let asked = 0;
  const ask = async (run: number) => {
    const to = `${inbox}.${asked++}`;
    const made: Entry = { t: "asked", id: to, by: ENDPOINT, to, value: 1 };
    const answered = new Promise<void>((resolve) => waiting.set(to, resolve));
    await appends.append(subjectOf(run), JSON.stringify(made));
    await answered;
    waiting.delete(to);
  };
  const { direct } = await jetstreamManager(nc);
  answer({
    many: ({ atOnce, ms }: { atOnce: number; ms: number }) => loop(atOnce, ms, ask),
    /** Direct gets of a subject's last message, one after the other. */
    async view({ ms }: { ms: number }): Promise<Answered> {
      await ask(0);
      const query = { last_by_subj: subjectOf(0) };
      return await loop(1, ms, async () => (await direct.getMessage(options.group, query))!.json());
    },
  });
}
