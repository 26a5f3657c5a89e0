import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { type Catga, CatgaError, type Health, type SubscriptionInfo } from "../../mod.ts";
import { leaderOf, ledSubscriptions, unhandled, type WellNodes } from "./pace.ts";

type Seen = Health["subscriptions"][number];

/** Makes a node's view of a subscription of the service shop. */
function seen(name: string, state: Seen["state"], more: Partial<Seen> = {}): Seen {
  return { service: "shop", name, state, open: 0, lag: 0, oldest: 0, retrying: 0, dead: 0, ...more };
}

/** Makes the log's record of a subscription of the service shop. */
function stored(name: string, leader: string | undefined, more: Partial<SubscriptionInfo> = {}): SubscriptionInfo {
  const rest = {
    contracts: [],
    position: 0,
    lag: 0,
    open: 0,
    oldest: 0,
    retrying: 0,
    dead: 0,
    abandoned: false,
    requested: false,
  };
  return { service: "shop", name, leader, ...rest, ...more };
}

/** Makes nodes that see the given subscriptions; `infos` returns what each node reads in the log. */
function nodes(
  seenBy: Readonly<Record<string, readonly Seen[]>>,
  infos: () => Promise<readonly SubscriptionInfo[]> = () => Promise.resolve([]),
): WellNodes {
  return new Map(
    Object.entries(seenBy).map(([id, subscriptions]) => {
      const app = { health: () => ({ subscriptions }), subscriptions: infos };
      return [id, app as unknown as Catga]; // cast: the only members that the progress reads
    }),
  );
}

describe("leaderOf", () => {
  const well = nodes({
    a: [seen("mails", "following"), seen("bills", "stopped"), seen("view", "caught up")],
    b: [seen("mails", "leading"), seen("bills", "following"), seen("view", "caught up")],
  });

  it("is the node that leads, with or without the service's name, also while it hands nothing out", () => {
    const names = ["mails", "shop/mails", "bills", "shop/bills"];
    assertEquals(names.map((name) => leaderOf(well, name)), ["b", "b", "a", "a"]);
  });

  it("is undefined for a read model, another service, and what nobody leads", () => {
    const names = ["view", "stock/mails", "mail", "none"];
    assertEquals(names.map((name) => leaderOf(well, name)), [undefined, undefined, undefined, undefined]);
    assertEquals(leaderOf(new Map(), "mails"), undefined);
  });
});

describe("ledSubscriptions", () => {
  it("are named once each, sorted, without those that are only followed", () => {
    const all = nodes({
      a: [seen("mails", "leading"), seen("bills", "stopped"), seen("view", "caught up"), seen("none", "following")],
      b: [seen("mails", "leading"), seen("audit", "leading")],
    });
    assertEquals(ledSubscriptions(all), ["shop/audit", "shop/bills", "shop/mails"]);
  });
});

describe("unhandled", () => {
  const log = (...infos: SubscriptionInfo[]) => () => Promise.resolve(infos);

  it("is empty when the leaders have nothing in hand and the log says the same, whatever is dead", async () => {
    const well = nodes(
      { a: [seen("mails", "leading", { dead: 3 })], b: [seen("mails", "following", { open: 9 })] },
      () => {
        return Promise.resolve([stored("mails", "a", { dead: 3 })]);
      },
    );
    assertEquals(await unhandled(well), []);
    assertEquals(await unhandled(new Map()), []);
  });

  it("names what nodes have in hand, and does not ask the log then", async () => {
    const asks = () => Promise.reject(new Error("asked the log"));
    const well = nodes({
      a: [seen("mails", "leading", { open: 2, lag: 5, retrying: 3, dead: 1 }), seen("bills", "leading")],
      b: [seen("bills", "stopped"), seen("view", "catching up", { lag: 4 })],
      c: [seen("audit", "leading", { retrying: 1 }), seen("stock", "leading", { open: 1 })],
    }, asks);
    assertEquals(await unhandled(well), [
      "shop/mails on a is leading: 2 in hand, 3 waiting for another attempt or behind another of their key, " +
      "1 dead letter(s), 5 not read",
      "shop/bills on b is stopped: 0 in hand, 0 not read",
      "shop/view on b is catching up: 0 in hand, 4 not read",
      "shop/audit on c is leading: 0 in hand, 1 waiting for another attempt or behind another of their key, 0 not read",
      "shop/stock on c is leading: 1 in hand, 0 not read",
    ]);
  });

  it("asks the log for what no node has in hand", async () => {
    const well = nodes(
      { a: [seen("mails", "leading"), seen("bills", "following"), seen("desk", "leading", { dead: 2 })] },
      log(
        stored("mails", "a", { lag: 2 }),
        stored("bills", "a"),
        stored("audit", undefined),
        stored("books", "a", { requested: true }),
        stored("goods", "a", { retrying: 1 }),
        stored("desk", "a", { dead: 1 }),
        stored("stock", "killed", { lag: 7 }),
        stored("old", undefined, { abandoned: true, lag: 9 }),
        stored("taken", "a", { open: 5 }),
      ),
    );
    assertEquals(await unhandled(well), [
      "shop/mails on a has not recorded 2 message(s) of the log as handled",
      "a has not begun to lead shop/bills",
      "shop/audit has no leader",
      "shop/books on a has not carried out a rewind, replay or discard",
      "shop/goods on a has 1 waiting for another attempt or behind another of their key",
      "shop/desk on a has not recorded its dead letters: 1 of 2",
      "shop/stock has no leader",
      "shop/taken on a has not recorded 5 message(s) that it took over as handled",
    ]);
  });

  it("says that the log does not answer, and rejects with other errors", async () => {
    const failing = (error: Error) => nodes({ a: [] }, () => Promise.reject(error));
    const lost = new CatgaError("UNAVAILABLE", "no server");
    assertEquals(await unhandled(failing(lost)), ["the log does not answer: no server"]);
    await assertRejects(() => unhandled(failing(new TypeError("a fault"))), TypeError, "a fault");
  });
});
