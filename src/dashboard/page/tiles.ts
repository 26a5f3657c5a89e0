/** The numbers at the top, for a look from afar. */
import type { Capped, ContractView, LetterView, LockView, NodesView, SubscriptionView } from "../view.ts";
import type { Elements } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function tilesSection({ make, say, count, latency, rate, some }: Elements) {
  interface Tile {
    readonly value: HTMLElement;
    readonly note: HTMLElement;
  }

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
  class Tiles {
    readonly #place: HTMLElement;
    #cycles = 0;
    readonly #tiles = new Map<string, Tile>();

    constructor(place: HTMLElement) {
      this.#place = place;
      for (const title of TITLES) this.#tile(title);
    }

    nodes({ counts: { live, suspect, gone, drained }, cycles }: NodesView): void {
      this.#cycles = cycles;
      const troubled = [
        drained > 0 ? `${count(drained)} drained` : "",
        suspect > 0 ? `${count(suspect)} suspect` : "",
        gone > 0 ? `${count(gone)} gone` : "",
      ];
      const note = troubled.filter((text) => text !== "").join(", ");
      this.set("Nodes", count(live), note || "all answer", gone > 0 ? "bad" : suspect > 0 ? "warn" : "");
    }

    contracts({ shown }: Capped<ContractView>): void {
      const sum = (of: (each: ContractView) => number) => shown.reduce((total, each) => total + of(each), 0);
      const [runs, failing] = [sum((each) => each.rate), sum((each) => each.failing)];
      this.set("Runs/s", rate(runs), `${count(sum((each) => each.inHand))} in hand`);
      const refusing = sum((each) => each.refusing);
      const errors = Math.max(0, failing - refusing);
      const share = runs === 0 ? "none" : `${((100 * errors) / runs).toFixed(1)} % of all`;
      this.set(
        "Failing/s",
        rate(errors),
        refusing === 0 ? share : `${rate(refusing)} declined`,
        errors > 0 ? "bad" : "",
      );
      const slowest = shown.reduce((a, b) => ((b.p99 ?? 0) > (a?.p99 ?? 0) ? b : a), shown[0]);
      this.set("Slowest p99", latency(slowest?.p99 ?? undefined), slowest?.p99 ? slowest.name : "no runs");
    }

    subscriptions({ shown }: Capped<SubscriptionView>): void {
      const sum = (of: (each: SubscriptionView) => number) => shown.reduce((total, each) => total + of(each), 0);
      const lag = sum((each) => each.lag);
      const behind = shown.filter((each) => each.lag > 0).length;
      this.set("Lag", count(lag), lag === 0 ? "all is read" : `${count(behind)} behind`, lag > 0 ? "warn" : "");
      this.set("Read/s", rate(sum((each) => each.rate)), "log messages");
      const retrying = sum((each) => each.retrying);
      this.set("Retrying", count(retrying), "messages", retrying > 0 ? "warn" : "");
    }

    letters({ shown, total }: Capped<LetterView>): void {
      const tone = shown.some(({ business }) => !business) ? "bad" : total > 0 ? "warn" : "";
      this.set("Dead letters", count(total), total === 0 ? "none" : "to be looked at", tone);
    }

    locks({ shown }: Capped<LockView>): void {
      const waiting = shown.reduce((total, each) => total + each.waiting, 0);
      const held = shown.filter(({ kind, holder }) => kind === "lock" && holder !== "").length;
      const cycles = this.#cycles === 0 ? "" : `, ${some(this.#cycles, "deadlock")} ended`;
      this.set("Lock waiters", count(waiting), `${count(held)} held${cycles}`, waiting > 0 ? "warn" : "");
    }

    /** Sets a tile. */
    set(title: string, value: string, note: string, tone = ""): void {
      const tile = this.#tile(title);
      say(tile.value, value);
      if (tile.value.className !== tone) tile.value.className = tone;
      say(tile.note, note);
    }

    #tile(title: string): Tile {
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

  return { Tiles };
}

/** Its return type. */
export type TilesSection = ReturnType<typeof tilesSection>;
