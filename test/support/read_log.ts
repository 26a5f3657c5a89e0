/** What stands in the log, for checks. */
import { isReadable, readGroup } from "../../src/log/format/group.ts";
import type { LoggedMessage } from "../../src/log/format/logged_message.ts";
import { logSubjects } from "../../src/log/format/names.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import type { EventLog } from "../../src/ports/event_log.ts";

/** All events and queued commands, in their order. Rejects for a message that cannot be read. */
export async function readAll(log: EventLog, namespace = "default", replicas = 1): Promise<LoggedMessage[]> {
  return await (await logReader(log, namespace, replicas))();
}

/**
 * A function that resolves with all events and queued commands so far, in their order, and reads only what has come
 * since its last call.
 */
export async function logReader(
  log: EventLog,
  namespace = "default",
  replicas = 1,
): Promise<() => Promise<LoggedMessage[]>> {
  const stream = await log.open(streamName(namespace, "log"), {
    subjects: logSubjects(namespace),
    replicas,
    schedules: true,
  });
  const found: LoggedMessage[] = [];
  let from = 0;
  return async () => {
    while (true) {
      const messages = await stream.read(`catga.${namespace}.log.>`, { from });
      const last = messages.at(-1);
      if (last === undefined) return found;
      for (const message of messages) {
        const group = readGroup(namespace, message);
        if (!isReadable(group)) throw new Error(`${message.subject} ${message.sequence}: ${group.reason}`);
        found.push(...group);
      }
      from = last.sequence + 1;
    }
  };
}
