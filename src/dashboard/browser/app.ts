/// <reference lib="dom" />
/// <reference lib="dom.iterable" />
/** The page: each topic goes to its section. Updates are drawn once a frame at most, and none while nobody sees the page. */
import type { Hello, NodesView, Problem, Topic, Topics } from "../view.ts";
import { Contracts } from "./contracts.ts";
import { byId, make, say } from "./elements.ts";
import { entitySection } from "./entity.ts";
import { Events } from "./events.ts";
import { some } from "./format.ts";
import { Letters } from "./letters.ts";
import { live } from "./live.ts";
import { locksTable, nodesTable, retriesTable, schedulesTable, subscriptionsTable } from "./tables.ts";
import { Tiles } from "./tiles.ts";
import { TrafficPicture } from "./traffic.ts";

/** How far the server's clock is ahead of the browser's, in ms. */
let ahead = 0;
const now = () => Date.now() + ahead;

const tiles = new Tiles(byId("tiles"));
const nodes = nodesTable(now);
const traffic = new TrafficPicture();
const contracts = new Contracts();
const subscriptions = subscriptionsTable();
const letters = new Letters(now);
const retries = retriesTable(now);
const locks = locksTable(now);
const schedules = schedulesTable(now);
const events = new Events();
entitySection();

/** Shows a topic. */
const SHOW: { readonly [T in Topic]: (value: Topics[T]) => void } = {
  hello: greet,
  problems: complain,
  nodes(view: NodesView) {
    nodes.show(view.shown, view.total);
    tiles.nodes(view);
  },
  traffic: (view) => traffic.show(view),
  contracts(view) {
    contracts.show(view);
    tiles.contracts(view);
  },
  history: (history) => contracts.remember(history),
  points: (points) => contracts.add(points),
  subscriptions(view) {
    subscriptions.show(view.shown, view.total);
    tiles.subscriptions(view);
  },
  letters(view) {
    letters.show(view);
    tiles.letters(view);
  },
  retries(view) {
    retries.show(view.shown, view.total);
  },
  schedules(view) {
    schedules.show(view.shown, view.total);
  },
  locks(view) {
    locks.show(view.shown, view.total);
    tiles.locks(view);
  },
  events: (view) => events.show(view),
};

/** What has come and is not drawn yet: of each topic the newest. */
const waiting = new Map<Topic, () => void>();

live({
  onTopic<T extends Topic>(topic: T, value: Topics[T]) {
    if (waiting.size === 0) requestAnimationFrame(draw);
    waiting.set(topic, () => SHOW[topic](value));
  },
  onState(state, isLive) {
    const connection = byId("connection");
    say(connection, state);
    connection.className = isLive ? "good" : "bad";
    document.body.classList.toggle("stale", !isLive);
  },
});

// for the ages
setInterval(() => {
  if (document.hidden) return;
  for (const table of [nodes, letters, retries, locks, schedules]) table.refresh();
}, 1_000);

function draw(): void {
  const all = [...waiting.values()];
  waiting.clear();
  for (const show of all) show();
}

function greet({ namespace, address, version, allowChanges, now }: Hello): void {
  ahead = now - Date.now();
  say(byId("namespace"), namespace);
  byId("namespace").title = `${address}, Catga ${version}`;
  document.title = `${namespace} - Catga`;
  letters.allow(allowChanges);
}

function complain(problems: readonly Problem[]): void {
  const list = byId("problems");
  list.hidden = problems.length === 0;
  list.replaceChildren(...problems.map(({ part, message }) => make("li", `${part}: ${message}`)));
  list.setAttribute("aria-label", some(problems.length, "problem"));
}
