// Made by tools/dashboard_page.ts.
/** tiles.js */
export const TILES_JS: string = `/** The numbers at the top, for a look from afar. */

import { make, say } from "./elements.js";
import { count, latency, rate, some } from "./format.js";

const TITLES = [
  "Nodes",
  "Runs/s",
  "Failing/s",
  "Slowest p99",
  "Lag",
  "Read/s",
  "Retrying",
  "Dead letters",
  "Lock waiters",
];

/** The tiles. */
export class Tiles {
           #place             ;
  #cycles = 0;
           #tiles = new Map              ();

  constructor(place             ) {
    this.#place = place;
    for (const title of TITLES) this.#tile(title);
  }

  nodes({ counts: { live, suspect, gone }, cycles }           )       {
    this.#cycles = cycles;
    const troubled = [suspect > 0 ? \`\${count(suspect)} suspect\` : "", gone > 0 ? \`\${count(gone)} gone\` : ""];
    const note = troubled.filter((text) => text !== "").join(", ");
    this.set("Nodes", count(live), note || "all answer", note === "" ? "" : gone > 0 ? "bad" : "warn");
  }

  contracts({ shown }                      )       {
    const sum = (of                                ) => shown.reduce((total, each) => total + of(each), 0);
    const [runs, failing] = [sum((each) => each.rate), sum((each) => each.failing)];
    this.set("Runs/s", rate(runs), \`\${count(sum((each) => each.inHand))} in hand\`);
    const share = runs === 0 ? "none" : \`\${((100 * failing) / runs).toFixed(1)} % of all\`;
    this.set("Failing/s", rate(failing), share, failing > 0 ? "bad" : "");
    const slowest = shown.reduce((a, b) => ((b.p99 ?? 0) > (a?.p99 ?? 0) ? b : a), shown[0]);
    this.set("Slowest p99", latency(slowest?.p99 ?? undefined), slowest?.p99 ? slowest.name : "no requests");
  }

  subscriptions({ shown }                          )       {
    const sum = (of                                    ) => shown.reduce((total, each) => total + of(each), 0);
    const lag = sum((each) => each.lag);
    const behind = shown.filter((each) => each.lag > 0).length;
    this.set("Lag", count(lag), lag === 0 ? "all is read" : \`\${count(behind)} behind\`, lag > 0 ? "warn" : "");
    this.set("Read/s", rate(sum((each) => each.rate)), "log messages");
    const retrying = sum((each) => each.retrying);
    this.set("Retrying", count(retrying), "messages", retrying > 0 ? "warn" : "");
  }

  letters({ total }                    )       {
    this.set("Dead letters", count(total), total === 0 ? "none" : "to be looked at", total > 0 ? "bad" : "");
  }

  locks({ shown }                  )       {
    const waiting = shown.reduce((total, each) => total + each.waiting, 0);
    const held = shown.filter(({ kind, holder }) => kind === "lock" && holder !== "").length;
    const cycles = this.#cycles === 0 ? "" : \`, \${some(this.#cycles, "deadlock")} ended\`;
    this.set("Lock waiters", count(waiting), \`\${count(held)} held\${cycles}\`, waiting > 0 ? "warn" : "");
  }

  /** Sets a tile. */
  set(title        , value        , note        , tone = "")       {
    const tile = this.#tile(title);
    say(tile.value, value);
    if (tile.value.className !== tone) tile.value.className = tone;
    say(tile.note, note);
  }

  #tile(title        )       {
    const known = this.#tiles.get(title);
    if (known !== undefined) return known;
    const box = make("div");
    const tile = { value: make("dd", "-"), note: make("dd", "", { class: "note" }) };
    box.append(make("dt", title), tile.value, tile.note);
    this.#place.append(box);
    this.#tiles.set(title, tile);
    return tile;
  }
}
`;
