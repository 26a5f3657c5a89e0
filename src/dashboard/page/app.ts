/**
 * The script of the page: passes each topic to the sections that show it. Updates are drawn at most once a frame, and
 * not while the page is hidden.
 */
import type { Topic, Topics } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Section, Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Starts the page. The function's source text is embedded in the page's script, so it may use only its parameters and
 * browser globals.
 */
export function app(elements: Elements, tables: Tables, sections: readonly Section[]) {
  const { byId, make, say, setClock, some } = elements;

  /**
   * Time without a message of the server after which the page reconnects, in ms; the server sends a heartbeat every 2
   * s.
   */
  const SILENCE = 8_000;

  const own: Shows = {
    hello({ namespace, address, version, allowChanges, now }) {
      setClock(now);
      say(byId("namespace"), namespace);
      byId("namespace").title = `${address}, Catga ${version}`;
      document.title = `${namespace} - Catga`;
      document.body.classList.toggle("read-only", !allowChanges);
    },
    problems(problems) {
      const list = byId("problems");
      list.hidden = problems.length === 0;
      list.replaceChildren(...problems.map(({ part, message }) => make("li", `${part}: ${message}`)));
      list.setAttribute("aria-label", some(problems.length, "problem"));
    },
  };

  const all: readonly Shows[] = [own, ...sections.map((section) => section(elements, tables))];
  const topics = new Set(all.flatMap((shows) => Object.keys(shows) as Topic[]));

  /** Functions that draw topics which were received and not drawn yet: for each topic its newest value. */
  const waiting = new Map<Topic, () => void>();
  let heard = performance.now();
  let source = open();

  // the connection is checked here, because a browser does not reconnect after a refusal, and does not notice a
  // connection that is silent
  setInterval(() => {
    if (source.readyState !== EventSource.CLOSED && performance.now() - heard < SILENCE) return;
    source.close();
    heard = performance.now();
    source = open();
  }, 3_000);

  setInterval(() => document.hidden || tables.refresh(), 1_000);

  document.querySelector("nav")!.addEventListener("click", ({ target }) => {
    if (target instanceof HTMLAnchorElement) scrollTo(target.hash.slice(1), 30);
  });

  /**
   * Scrolls to a section, and again in each of the following frames: a section has its height only when it comes near
   * the screen, and then moves the sections below it.
   */
  function scrollTo(id: string, frames: number): void {
    byId(id).scrollIntoView();
    if (frames > 0) requestAnimationFrame(() => scrollTo(id, frames - 1));
  }

  /** Connects to the server for the topics, and stays connected. */
  function open(): EventSource {
    const made = new EventSource("stream");
    const hear = () => {
      heard = performance.now();
      state("live", true);
    };
    for (const topic of topics) {
      made.addEventListener(topic, ({ data }: MessageEvent<string>) => {
        hear();
        take(topic, JSON.parse(data));
      });
    }
    made.addEventListener("beat", hear);
    made.addEventListener("full", () => state("too many browsers are connected", false));
    made.addEventListener("error", () => {
      const refused = made.readyState === EventSource.CLOSED;
      state(refused ? "ended: open the address that `catga dashboard` printed" : "reconnecting", false);
    });
    return made;
  }

  function state(text: string, isLive: boolean): void {
    const connection = byId("connection");
    say(connection, text);
    connection.className = isLive ? "good" : "bad";
    document.body.classList.toggle("stale", !isLive);
  }

  function take<T extends Topic>(topic: T, value: Topics[T]): void {
    if (waiting.size === 0) requestAnimationFrame(draw);
    waiting.set(topic, () => {
      for (const { [topic]: show } of all) show?.(value);
    });
  }

  function draw(): void {
    // one topic is drawn in each frame: drawing all topics at once would take several frames
    for (const [topic, show] of waiting) {
      waiting.delete(topic);
      if (waiting.size > 0) requestAnimationFrame(draw);
      return show();
    }
  }
}
