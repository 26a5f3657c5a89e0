import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { delay } from "../../ports/clock.ts";
import { leads } from "../../../test/support/commits.ts";
import { NAMESPACE, subscriptionsStream } from "../administration/stored_suite.ts";
import { weight } from "../../data/rendezvous_hash.ts";
import { CatgaError } from "../../error.ts";
import { commitSubject, leaseSubject, subscriptionKey } from "../format/names.ts";
import type { LogHost } from "../log_host.ts";
import { Cluster, events, type Node, ofKey } from "./cluster_suite.ts";
import type { Leases } from "./leases.ts";
import { LogSubscription } from "./subscription.ts";

const BILLING = { billing: { Placed: {} } };

describe("Subscriptions", () => {
  it("handle a message at once that is stored when a node has just started", async () => {
    const cluster = new Cluster();
    await cluster.node("a", { handles: BILLING });
    const begun = cluster.clock.monotonic();
    await cluster.publish("Placed", [[0]]);
    await cluster.until("it is handled", () => cluster.ends.length === 1);
    const passed = cluster.clock.monotonic() - begun;
    assert(passed < 90, `it was handled after ${passed} ms`);
    cluster.close();
  });

  it("hand out the messages of each key in order, over all nodes, and record how far they are", async () => {
    const cluster = new Cluster();
    for (const id of ["a", "b", "c"]) await cluster.node(id, { handles: BILLING });
    let last = 0;
    for (let i = 0; i < 20; i++) last = await cluster.publish("Placed", events(50, 7, 50 * i));
    await cluster.until("all handled", () => cluster.ends.length === 1_000);
    for (let key = 0; key < 7; key++) assertEquals(cluster.payloads(`k${key}`), ofKey(1_000, 7, key));
    assertEquals(new Set(cluster.runs.map(({ node }) => node)).size, 3);
    await cluster.clock.advance(1_500);
    const record = await cluster.record("billing");
    if (typeof record !== "object") throw new Error(`no record: ${record}`);
    assertEquals(record.place.read, last * 1_024 + 1_023);
    assertEquals(record.open, []);
    cluster.close();
  });

  it("start when the log, which lost its leader just before, has one again after 14 s", async () => {
    const cluster = new Cluster();
    await cluster.node("a", { handles: BILLING });
    const { clock, network } = cluster;
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const connection = connect(options);
      const open = connection.log.open.bind(connection.log);
      let opened = 0;
      connection.log.open = async (...stream) => {
        const found = await open(...stream);
        if (++opened === 2) network.log.begin("noLeader"); // the outage begins as soon as both streams are open
        return found;
      };
      return connection;
    };
    clock.after(14_000, () => network.log.end("noLeader"));
    const begun = clock.monotonic();
    await cluster.node("b", { handles: BILLING });
    assert(clock.monotonic() - begun >= 14_000, "the log was away");
    await cluster.publish("Placed", events(20, 7));
    await cluster.until("all handled", () => cluster.ends.length === 20);
    cluster.close();
  });

  it("start with a few reads, however many they are (1,500 took 17,000: a busy machine did not start them)", async () => {
    const cluster = new Cluster();
    const { network } = cluster;
    const nodes: { last: number; state: number; lasts: number }[] = [];
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const connection = connect(options);
      const reads = { last: 0, state: 0, lasts: 0 };
      nodes.push(reads);
      const open = connection.log.open.bind(connection.log);
      connection.log.open = async (...stream) => {
        const found = await open(...stream);
        const counted = <A extends unknown[], R>(kind: keyof typeof reads, read: (...args: A) => R) => (...args: A) => {
          reads[kind]++;
          return read(...args);
        };
        found.last = counted("last", found.last.bind(found));
        found.state = counted("state", found.state.bind(found));
        found.lasts = counted("lasts", found.lasts.bind(found));
        return found;
      };
      return connection;
    };
    const handles = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`billing-${i}`, { Placed: {} }]));
    const a = await cluster.node("a", { handles });
    await cluster.until("all are led", () => Object.keys(handles).every((name) => a.leads(name)));
    // each takeover reads the last commit once more
    assertEquals([nodes[0].last, nodes[0].lasts], [100, 1]);
    await cluster.node("b", { handles });
    // `last`: the lease of the node that leads
    assertEquals(nodes[1], { last: 1, state: 1, lasts: 1 });
    cluster.close();
  });

  it("renew a lease whose renewal has failed 100 ms later, also while nothing else is to be done", async () => {
    const cluster = new Cluster();
    const { clock, network } = cluster;
    const renewals: number[] = [];
    let failing = false;
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const connection = connect(options);
      const open = connection.log.open.bind(connection.log);
      connection.log.open = async (...stream) => {
        const found = await open(...stream);
        const append = found.append.bind(found);
        found.append = (subject, ...rest) => {
          if (subject !== leaseSubject("test", "a.1")) return append(subject, ...rest);
          renewals.push(clock.monotonic());
          const error = new CatgaError("UNAVAILABLE", "no leader", { retryable: true });
          return failing ? Promise.resolve({ type: "not stored", transient: true, error }) : append(subject, ...rest);
        };
        return found;
      };
      return connection;
    };
    await cluster.node("a", { handles: BILLING });
    await clock.advance(10_000);
    const before = renewals.length;
    failing = true;
    await cluster.until("a renewal fails", () => renewals.length > before);
    failing = false;
    await cluster.until("the lease is renewed", () => renewals.length > before + 1);
    const passed = renewals[before + 1] - renewals[before];
    assert(passed <= 200, `it was renewed after ${passed} ms`);
    cluster.close();
  });

  it("leave the lead to a node whose lease moves while they write their own", async () => {
    for (const moves of [true, false]) {
      const { clock, stream, append } = await subscriptionsStream();
      const spec = { service: "shop", name: "billing", categories: new Map() };
      const subject = commitSubject(NAMESPACE, subscriptionKey(spec.service, spec.name));
      await append(subject, leads("b.1", 1));
      const fenced: string[] = [];
      let hasMoved = false;
      const leases: Pick<Leases, "hold" | "still" | "fence"> = {
        // the lease seemed old while the node was cut off, and has been renewed since
        still: () => hasMoved ? 100 : Infinity,
        hold: async () => {
          await delay(clock, 5);
          hasMoved = moves;
          return true;
        },
        fence: (endpoint) => {
          fenced.push(endpoint);
          return Promise.resolve(false);
        },
      };
      const host: Partial<LogHost> = { clock, namespace: NAMESPACE, node: "a", endpoint: "a.1", connected: true };
      const subscription = new LogSubscription({
        ...{ host: host as LogHost, leases: leases as Leases, spec, kept: stream, stream, mostParked: 1 },
        nodes: () => [{ id: "a", endpoint: "a.1", categories: new Map() }],
        onChange: () => {},
      });
      subscription.onCommit((await clock.until(stream.last(subject)))!); // the commit was just stored, so it is found
      subscription.tick(clock.monotonic(), true);
      await clock.advance(50);
      assertEquals([fenced, subscription.leads], [moves ? [] : ["b.1"], false]);
    }
  });

  it("end their rest when the last commit, read again after a loss of the store, is another one", async () => {
    const { clock, stream, append } = await subscriptionsStream();
    const spec = { service: "shop", name: "billing", categories: new Map() };
    const subject = commitSubject(NAMESPACE, subscriptionKey(spec.service, spec.name));
    await append(subject, leads("b.1", 1));
    const host: Partial<LogHost> = { clock, namespace: NAMESPACE, node: "a", endpoint: "a.1", connected: true };
    const changes: boolean[] = [];
    const subscription: LogSubscription = new LogSubscription({
      ...{ host: host as LogHost, spec, kept: stream, stream, mostParked: 1 },
      leases: { still: () => 0 } as unknown as Leases,
      nodes: () => [{ id: "a", endpoint: "a.1", categories: new Map() }],
      onChange: () => changes.push(subscription.restsUntil(clock.monotonic()) > clock.monotonic()),
    });
    subscription.onCommit((await clock.until(stream.last(subject)))!); // the commit was just stored, so it is found
    assert(subscription.restsUntil(clock.monotonic()) > clock.monotonic());
    await append(subject, leads("", 2));
    subscription.onDoubt();
    await clock.advance(50);
    assertEquals(changes, [false]);
  });

  it("hand over as soon as what runs has ended, and the next node leads at once", async () => {
    const cluster = new Cluster(3);
    const ran: number[] = [];
    const run = async () => {
      await delay(cluster.clock, 20);
      ran.push(cluster.clock.monotonic());
      return 0 as const;
    };
    for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING, run });
    await cluster.stream();
    const leader = await cluster.leader("billing");
    const other = cluster.nodes.find((node) => node !== leader)!; // there are two nodes, so one is found
    await cluster.clock.advance(10_000);
    await cluster.publishNow("Placed", [[1, "k"]]);
    await cluster.clock.advance(5);
    assertEquals(ran.length, 0);
    await cluster.clock.until(leader.subscriptions!.leave(500));
    const [ended] = ran;
    assert(cluster.clock.monotonic() - ended <= 5 + 5, `it left ${cluster.clock.monotonic() - ended} ms later`);
    await cluster.until("the other one leads", () => other.leads("billing"), 1_000);
    assert(cluster.clock.monotonic() - ended <= 30, `the other one led ${cluster.clock.monotonic() - ended} ms later`);
    cluster.close();
  });

  it("hand over before their leader has left, also if it gives way to another node just then", async () => {
    const cluster = new Cluster();
    let end = () => {};
    const run = () => new Promise<0>((resolve) => end = () => resolve(0));
    const key = subscriptionKey("shop", "billing");
    const [first, second] = ["a", "b"].sort((a, b) => weight(key, b) - weight(key, a));
    const leader = await cluster.node(second, { handles: BILLING, run });
    await cluster.leader("billing");
    const other = await cluster.node(first, { handles: BILLING, run });
    await cluster.publish("Placed", [[1, "k"]]);
    await cluster.clock.advance(31_000); // it has been the second of the two for 30 s: it waits for the run to end
    assertEquals(leader.leads("billing"), true);
    const left = leader.subscriptions!.leave(500);
    await cluster.clock.advance(100);
    end();
    await cluster.clock.until(left);
    assertEquals(leader.leads("billing"), false);
    await cluster.until("the other one leads", () => other.leads("billing"), 100);
    cluster.close();
  });

  it("pass through a node that leaves while it takes the lead: the next one leads at once", async () => {
    const key = subscriptionKey("shop", "billing");
    const order = ["a", "b", "c"].sort((a, b) => weight(key, b) - weight(key, a));
    const late: number[] = [];
    for (let after = 0; after < 200; after += 5) {
      const cluster = new Cluster(1, { delay: 20 });
      const nodes: Node[] = [];
      for (const id of order) nodes.push(await cluster.node(id, { handles: BILLING }));
      const [first, second, third] = nodes;
      await cluster.until("the first one leads", () => first.leads("billing"));
      const leave = async (node: Node) => {
        await node.subscriptions!.leave(500);
        node.kill();
      };
      const left = leave(first);
      await cluster.clock.advance(after);
      await cluster.clock.until(Promise.all([left, leave(second)]));
      const begun = cluster.clock.monotonic();
      await cluster.until("the third one leads", () => third.leads("billing"));
      if (cluster.clock.monotonic() - begun > 300) late.push(after);
      cluster.close();
    }
    assertEquals(late, []);
  });

  for (const lasts of [0, 150, 5_000]) {
    it(`hand over beside a rewind while a handler runs for ${lasts} ms: the next node leads at once`, async () => {
      const late: string[] = [];
      for (let after = 0; after < 300; after += 15) {
        const cluster = new Cluster(1, { delay: 20 });
        const run = async ({ payload }: { payload: unknown }) => {
          if (payload === 5 && cluster.runs.length === 6) await delay(cluster.clock, lasts);
          return 0 as const;
        };
        for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING, run });
        const leader = await cluster.leader("billing");
        const other = cluster.nodes.find((node) => node !== leader)!; // there are two nodes, so one is found
        for (let i = 0; i < 5; i++) await cluster.publish("Placed", [[i, `k${i}`]]);
        await cluster.until("all are handled", () => cluster.ends.length === 5);
        await cluster.clock.advance(1_000);
        await cluster.publish("Placed", [[5, "k5"]]);
        await cluster.until("the last one begins", () => cluster.runs.length === 6);
        await cluster.request("billing", { kind: "rewind", to: 0 });
        await cluster.clock.advance(after);
        const begun = cluster.clock.monotonic();
        await cluster.clock.until(leader.subscriptions!.leave(500));
        const left = cluster.clock.monotonic();
        leader.kill();
        await cluster.until("the other one leads", () => other.leads("billing"));
        const leads = cluster.clock.monotonic();
        if (left - begun > 1_000 || leads - left > 300) late.push(`${after}: ${left - begun}, ${leads - left}`);
        const again = () => new Set(cluster.payloads().slice(lasts > 1_000 ? 5 : 6)).size === 6;
        await cluster.until("all are handled again", again);
        cluster.close();
      }
      assertEquals(late, []);
    });
  }

  it("hand over soon and for good, so that the next node leads at once, in a slow store and under load", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = new Cluster(seed, { delay: 300 });
      const run = async () => {
        await delay(cluster.clock, 400 * cluster.network.random() ** 4);
        return 0 as const;
      };
      for (const id of ["a", "b"]) await cluster.node(id, { handles: BILLING, run });
      await cluster.stream();
      const leader = await cluster.leader("billing");
      let stop = false;
      const traffic = (async () => {
        for (let n = 0; !stop; n++) {
          await cluster.publishNow("Placed", [[n, `k${n % 5}`]]);
          await delay(cluster.clock, 20);
        }
      })();
      await cluster.clock.advance(15_000);
      const begun = cluster.clock.monotonic();
      await cluster.clock.until(leader.subscriptions!.leave(500));
      const took = cluster.clock.monotonic() - begun;
      assert(took < 2_500, `it left after ${took} ms, with seed ${seed}`);
      const other = cluster.nodes.find((node) => node !== leader)!; // there are two nodes, so one is found
      await cluster.until(`the other leads, with seed ${seed}`, () => other.leads("billing"), 2_500);
      stop = true;
      await cluster.clock.until(traffic);
      cluster.close();
    }
  });
});
