/** Tests of topologies of NATS that operators make: leaf nodes with JetStream domains, mirrors, imports of services. */
import { describe, it } from "node:test";
import { connect, headers } from "@nats-io/transport-node";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { catga, command, event, stream } from "../mod.ts";
import { freePorts, type NatsServer, requireNatsServer, startNatsServer } from "../tools/nats_server.ts";
import { eventually } from "./support/eventually.ts";
import { PATIENT } from "./support/patient.ts";

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const slow = { timeout: 300_000 };
const Ask = command<void, string>("Ask");
const Kept = event<number>("Kept", { durable: true });
const Count = stream<number, number>("Count");
const count = Count.handle(async function* (to) {
  for (let n = 0; n < to; n++) yield n;
});

describe("a leaf node", await requireNatsServer(), () => {
  for (const later of ["hub", "leaf"] as const) {
    it(
      `with a domain of its own, ${later} later: both nodes have an alarm (each said that nothing is wrong)`,
      slow,
      async () => {
        await using servers = await startLeaf({ domain: "leaf" });
        const start = (url: string) => catga({ nats: url, logger: quiet, handlers: Ask.handle(() => "") });
        const [first, second] = later === "leaf" ? ["hub", "leaf"] as const : ["leaf", "hub"] as const;
        await using one = await start(servers[first].url);
        await using other = await start(servers[second].url);
        for (const app of [one, other]) {
          await eventually("the alarm", () => app.health().alarms.some(({ kind }) => kind === "namespace-split"));
          const [{ about, message }] = app.health().alarms;
          assertEquals(about, "default");
          assertStringIncludes(message, "two JetStream domains, hub and leaf,");
        }
      },
    );
  }

  it("with a domain of its own: a second acknowledgement of a publish raises the alarm, too", slow, async () => {
    await using servers = await startLeaf({ domain: "leaf" });
    const open = (url: string) => catga({ nats: url, logger: quiet, handlers: Kept.on(() => {}, { name: "books" }) });
    await using hub = await open(servers.hub.url);
    await using leaf = await open(servers.leaf.url);
    const kinds = () => leaf.health().alarms.map(({ kind }) => kind);
    await eventually("the alarm", async () => {
      assertEquals((await leaf.publish(Kept, 1)).ok, true);
      return kinds().includes("namespace-split");
    });
    assertEquals(hub.health().nodes, 1);
  });

  it("with other namespaces on both sides: no alarm", slow, async () => {
    await using servers = await startLeaf({ domain: "leaf" });
    const start = (url: string, namespace: string) =>
      catga({ nats: url, namespace, logger: quiet, handlers: Ask.handle(() => "") });
    await using hub = await start(servers.hub.url, "a");
    await using leaf = await start(servers.leaf.url, "b");
    await leaf.send(Ask);
    assertEquals([hub.health().alarms, leaf.health().alarms], [[], []]);
  });

  it(
    "without JetStream, with default_js_domain: its programs are nodes of the hub's cluster",
    slow,
    async () => {
      await using servers = await startLeaf({ config: `default_js_domain: { "$G": hub }` });
      await using hub = await catga({ nats: servers.hub.url, logger: quiet, handlers: Ask.handle(() => "hub") });
      await using leaf = await catga({ nats: servers.leaf.url, logger: quiet });
      await eventually("both to know each other", () => hub.health().nodes === 2 && leaf.health().nodes === 2);
      const result = await leaf.send(Ask);
      assertEquals([result.ok && result.value, leaf.health().alarms], ["hub", []]);
    },
  );
});

describe("a plain client over an account's import of a service", await requireNatsServer(), () => {
  for (const type of ["", ", response_type: stream"]) {
    it(
      `${type === "" ? "with one answer" : type.slice(2)}: a stream is an error, or whole (it ended after one item)`,
      slow,
      async () => {
        const subject = "catga.default.call.>";
        await using server = await startNatsServer({
          config: `accounts {
          B { jetstream: enabled, users: [{ user: b, password: x }], exports: [{ service: "${subject}"${type} }] }
          A { users: [{ user: a, password: x }], imports: [{ service: { account: B, subject: "${subject}" } }] } }`,
        });
        const nats = `nats://b:x@127.0.0.1:${server.port}`;
        await using app = await catga({ nats, logger: quiet, handlers: [count, Ask.handle(() => "yes")] });
        const client = await connect({ servers: server.url, user: "a", pass: "x", ...PATIENT });
        const answer = await client.request("catga.default.call.Ask", "", PATIENT);
        assertEquals([answer.json(), app.health().alarms], ["yes", []]);
        const refused = await client.request("catga.default.call.Count", "5", PATIENT);
        assertEquals(refused.headers?.get("Catga-Error-Code"), "INVALID_MESSAGE");
        assertStringIncludes(refused.string(), "response_type: stream");
        if (type !== "") {
          const asking = headers();
          asking.set("Catga-Response", "stream");
          const items: string[] = [];
          const answers = await client.requestMany("catga.default.call.Count", "5", {
            ...{ strategy: "sentinel", maxWait: 60_000, headers: asking },
          });
          for await (const item of answers) {
            items.push(item.headers?.get("Catga-End") || item.string());
            if (item.headers?.has("Catga-End")) break;
          }
          assertEquals(items, ["0", "1", "2", "3", "4", "5"]);
        }
        await client.close();
      },
    );
  }
});

interface LeafAndHub extends AsyncDisposable {
  readonly hub: NatsServer;
  readonly leaf: NatsServer;
}

/** Starts a server with the domain `hub`, and a leaf node of it; `domain`: of the leaf, which else has no JetStream. */
async function startLeaf({ domain, config = "" }: { domain?: string; config?: string }): Promise<LeafAndHub> {
  const [port] = await freePorts(1);
  const hub = await startNatsServer({
    config: `server_name: hub\njetstream { domain: hub }\nleafnodes { listen: "127.0.0.1:${port}" }`,
  });
  const leaf = await startNatsServer({
    jetstream: domain !== undefined,
    config:
      `server_name: leaf\nleafnodes { reconnect: 1, remotes: [{ url: "nats://127.0.0.1:${port}" }] }\n${config}\n` +
      (domain === undefined ? "" : `jetstream { domain: ${domain} }`),
  });
  const [there, here] = [await connect({ servers: hub.url }), await connect({ servers: leaf.url })];
  here.subscribe("linked", { callback: (_, message) => void message.respond() });
  const isLinked = () => there.request("linked", "", { timeout: 1_000 }).then(() => true, () => false);
  await eventually("the link", isLinked);
  await Promise.all([there.close(), here.close()]);
  return {
    hub,
    leaf,
    async [Symbol.asyncDispose]() {
      await leaf.stop();
      await hub.stop();
    },
  };
}
