/**
 * Tests of crons in a time zone that changes its clocks, on a real nats-server. The server's clock cannot be set: the
 * server fires each second, and the cron means this hour or another one. (Tests on virtual time have the nights of
 * the change.)
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { catga, command, unwrap } from "../../../mod.ts";
import { cliHere } from "../../../test/support/cli_here.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { QUIET } from "../../../test/support/quiet.ts";
import { requireNatsServer, startNatsServer } from "../../../tools/nats_server.ts";
import { NatsEventLog } from "../../nats/log/log_stream.ts";
import { openTransport } from "../../nats/harness_suite.ts";
import { groupText, itemText } from "../format/group.ts";
import { categorySubject, logSubjects, scheduleSubject } from "../format/names.ts";
import { streamName } from "../format/stream_name.ts";

const Close = command<string>("Close", { durable: true });
const ZONE = "Europe/Berlin";

describe("a cron whose zone changes its clocks, over NATS", await requireNatsServer(), () => {
  it("is stored as the server has to count it, and listed as it was given, with its next three times", async () => {
    await using server = await startNatsServer();
    await using app = await catga({ nats: server.url, logger: QUIET });
    unwrap(await app.enqueue(Close, "books", { id: "books", cron: "0 30 2 * * *", zone: ZONE }));
    unwrap(await app.enqueue(Close, "late", { id: "late", cron: "0 0 5 * * *", zone: ZONE }));
    const { out } = await cliHere(["schedules", "--json"], { NATS_URL: server.url });
    const listed = out.trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(listed.map(({ id, when, zone, next }) => [id, when, zone, next.length]), [
      ["books", "0 30 2 * * *", ZONE, 3],
      ["late", "0 0 5 * * *", ZONE, 3],
    ]);
    for (const time of listed[1].next) assert(/^\d{4}-\d\d-\d\dT05:00:00\+0[12]:00$/.test(time), time);
    assertEquals(await app.unschedule(Close, "books"), true);
  });

  it("is handled at promised times, and passed by at others, also by a node that starts later", async () => {
    await using server = await startNatsServer();
    const transport = await openTransport(server.url);
    await using _closed = { [Symbol.asyncDispose]: () => transport.close() };
    const settings = { subjects: logSubjects("default"), replicas: 1, schedules: true };
    const stream = await new NatsEventLog(transport).open(streamName("default", "log"), settings);
    const hour = Number(new Intl.DateTimeFormat("en", { timeZone: ZONE, hour: "numeric", hourCycle: "h23" }).format());
    /** `here`: crons for the hours in which the test may run; `elsewhere`: crons for hours in which it does not run */
    const [here, elsewhere] = [[hour, (hour + 1) % 24], [(hour + 12) % 24]].map((hours) => `* * ${hours} * * *`);
    for (const [id, cron] of [["needless", elsewhere], ["due", here]]) {
      const counted = { cron, zone: ZONE, server: "* * * * * *" };
      const head = { endpoint: "pub.1", first: 0, sentAt: Date.now(), keep: undefined, queued: true };
      const item = itemText({ text: JSON.stringify(id), key: undefined, id: undefined, meta: undefined });
      const appended = await stream.append(
        scheduleSubject("default", "Close", id),
        groupText({ ...head, schedule: { id, due: 0, counted } }, item),
        {
          timeout: 60_000,
          schedule: { at: counted.server, zone: ZONE, target: categorySubject("default", "Close") },
        },
      );
      assertEquals(appended.type, "stored");
    }
    const fired = async (id: string) => {
      const messages = await stream.read(categorySubject("default", "Close"), { from: 1 });
      return messages.filter(({ headers }) => headers?.["Nats-Scheduler"]?.endsWith(`.${id}`)).length;
    };
    await eventually("both to fire twice", async () => await fired("needless") > 1 && await fired("due") > 1);
    const handled: string[] = [];
    const handlers = Close.handle((id) => void handled.push(id));
    await using _app = await catga({ nats: server.url, logger: QUIET, handlers });
    await eventually("two that are due", () => handled.length > 1);
    assertEquals([...new Set(handled)], ["due"]);
  });
});
