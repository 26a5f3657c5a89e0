/**
 * The page: each topic goes to its section. Updates are drawn once a frame at most, and none while nobody sees the
 * page.
 */
import type { Hello, NodesView, Problem, Topic, Topics } from "../view.ts";
import type { AlarmsSection } from "./alarms.ts";
import type { ContractsSection, ShownTables } from "./tables.ts";
import type { EntityPart } from "./entities.ts";
import type { Elements } from "./elements.ts";
import type { RunsSection } from "./runs.ts";
import type { SearchPart } from "./search.ts";
import type { EventsSection, LettersSection } from "./letters.ts";
import type { TilesSection } from "./tiles.ts";
import type { TrafficSection } from "./traffic.ts";

type Parts =
  & Elements
  & ShownTables
  & ContractsSection
  & LettersSection
  & EventsSection
  & EntityPart
  & AlarmsSection
  & RunsSection
  & SearchPart
  & TilesSection
  & TrafficSection;

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function app(
  {
    byId,
    make,
    say,
    some,
    nodesTable,
    retriesTable,
    locksTable,
    schedulesTable,
    subscriptionsTable,
    Contracts,
    Letters,
    Events,
    entitySection,
    searchSection,
    Alarms,
    Groups,
    Runs,
    Server,
    timelineTable,
    Tiles,
    TrafficPicture,
  }: Parts,
) {
  /** What happens to it. */
  interface LiveOptions {
    onTopic<T extends Topic>(topic: T, value: Topics[T]): void;
    /** `state` is for people. */
    onState(state: string, isLive: boolean): void;
  }

  const TOPICS: readonly Topic[] = [
    "hello",
    "problems",
    "alarms",
    "timeline",
    "server",
    "groups",
    "runs",
    "nodes",
    "traffic",
    "contracts",
    "history",
    "points",
    "subscriptions",
    "letters",
    "retries",
    "schedules",
    "locks",
    "events",
  ];

  /** Connects, and stays connected. */
  function live(options: LiveOptions): void {
    let heard = performance.now();
    let source = open();

    function open(): EventSource {
      const made = new EventSource("stream");
      const hear = () => {
        heard = performance.now();
        options.onState("live", true);
      };
      for (const topic of TOPICS) {
        made.addEventListener(topic, ({ data }: MessageEvent<string>) => {
          hear();
          options.onTopic(topic, JSON.parse(data));
        });
      }
      made.addEventListener("beat", hear);
      made.addEventListener("full", () => options.onState("too many browsers are connected", false));
      made.addEventListener("error", () => {
        const refused = made.readyState === EventSource.CLOSED;
        options.onState(refused ? "ended: open the address that `catga dashboard` printed" : "reconnecting", false);
      });
      return made;
    }

    // a browser does not try again after a refusal, and does not notice a connection that is silent
    setInterval(() => {
      if (source.readyState !== EventSource.CLOSED && performance.now() - heard < SILENCE) return;
      source.close();
      heard = performance.now();
      source = open();
    }, 3_000);
  }

  /** The server is heard every 2 s, in ms. */
  const SILENCE = 8_000;

  /** How far the server's clock is ahead of the browser's, in ms. */
  let ahead = 0;
  const now = () => Date.now() + ahead;

  const alarms = new Alarms(now);
  const timeline = timelineTable();
  const server = new Server();
  const groups = new Groups(now);
  const runs = new Runs(now);
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
  searchSection();

  /** Shows a topic. */
  const SHOW: { readonly [T in Topic]: (value: Topics[T]) => void } = {
    hello: greet,
    problems: complain,
    alarms: (view) => alarms.show(view),
    timeline: (entries) => timeline.show(entries),
    server: (view) => server.show(view),
    groups: (view) => groups.show(view),
    runs: (view) => runs.show(view),
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
    for (const table of [alarms, runs, nodes, letters, retries, locks, schedules]) table.refresh();
  }, 1_000);

  function draw(): void {
    // one topic a frame: all of them at once would take several
    for (const [topic, show] of waiting) {
      waiting.delete(topic);
      if (waiting.size > 0) requestAnimationFrame(draw);
      return show();
    }
  }

  function greet({ namespace, address, version, allowChanges, now }: Hello): void {
    ahead = now - Date.now();
    say(byId("namespace"), namespace);
    byId("namespace").title = `${address}, Catga ${version}`;
    document.title = `${namespace} - Catga`;
    letters.allow(allowChanges);
    for (const section of ["groups", "schedules", "runs"]) byId(section).classList.toggle("read-only", !allowChanges);
  }

  function complain(problems: readonly Problem[]): void {
    const list = byId("problems");
    list.hidden = problems.length === 0;
    list.replaceChildren(...problems.map(({ part, message }) => make("li", `${part}: ${message}`)));
    list.setAttribute("aria-label", some(problems.length, "problem"));
  }
}
