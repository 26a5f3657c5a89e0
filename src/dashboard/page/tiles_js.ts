// Made by tools/dashboard_page.ts.
/** tiles.js */
export const TILES_JS: string = `/** The numbers at the top, for a look from afar. */

import { make, say } from "./elements.js";
import { count, rate } from "./format.js";

/** The tiles. */
export class Tiles {
           #place             ;
           #tiles = new Map              ();

  constructor(place             ) {
    this.#place = place;
    for (const title of ["Nodes", "Lag", "Read/s", "Retrying", "Dead letters", "Waiting for locks"]) this.#tile(title);
  }

  nodes({ counts: { live, suspect, gone } }           )       {
    const troubled = [suspect > 0 ? \`\${count(suspect)} suspect\` : "", gone > 0 ? \`\${count(gone)} gone\` : ""];
    const note = troubled.filter((text) => text !== "").join(", ");
    this.set("Nodes", count(live), note || "all answer", note === "" ? "" : gone > 0 ? "bad" : "warn");
  }

  subscriptions({ shown }                          )       {
    const sum = (of                                    ) => shown.reduce((total, each) => total + of(each), 0);
    const lag = sum((each) => each.lag);
    const behind = shown.filter((each) => each.lag > 0).length;
    this.set("Lag", count(lag), lag === 0 ? "all is read" : \`\${count(behind)} behind\`, lag > 0 ? "warn" : "");
    this.set("Read/s", rate(sum((each) => each.rate)), "messages of the log");
    const retrying = sum((each) => each.retrying);
    this.set("Retrying", count(retrying), "messages", retrying > 0 ? "warn" : "");
  }

  letters({ total }                    )       {
    this.set("Dead letters", count(total), total === 0 ? "none" : "to be looked at", total > 0 ? "bad" : "");
  }

  locks({ shown }                  )       {
    const waiting = shown.reduce((total, each) => total + each.waiting, 0);
    const held = shown.filter(({ kind, holder }) => kind === "lock" && holder !== "").length;
    this.set("Waiting for locks", count(waiting), \`\${count(held)} held\`, waiting > 0 ? "warn" : "");
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
