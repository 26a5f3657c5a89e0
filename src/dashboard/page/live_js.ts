// Made by tools/dashboard_page.ts.
/** live.js */
export const LIVE_JS: string =
  `/** The connection to the server of the page. It comes again by itself; while there is none, the page says so. */

/** What happens to it. */

const TOPICS                   = [
  "hello",
  "problems",
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
export function live(options             )       {
  let heard = performance.now();
  let source = open();

  function open()              {
    const made = new EventSource("stream");
    const hear = () => {
      heard = performance.now();
      options.onState("live", true);
    };
    for (const topic of TOPICS) {
      made.addEventListener(topic, ({ data }                      ) => {
        hear();
        options.onTopic(topic, JSON.parse(data));
      });
    }
    made.addEventListener("beat", hear);
    made.addEventListener("full", () => options.onState("too many browsers are connected", false));
    made.addEventListener("error", () => {
      const refused = made.readyState === EventSource.CLOSED;
      options.onState(refused ? "ended: open the address that \`catga dashboard\` printed" : "reconnecting", false);
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
`;
