/** What is wrong, why, and what to do; what happened; NATS itself; dead letters by what they failed with. */
import type { AlarmView, Capped, LetterGroup, ServerView, StreamView, TimelineEntry } from "../view.ts";
import type { Elements, Table, Tables } from "./elements.ts";

/**
 * Its text becomes a part of the page's script: it uses its parameters and what every browser has, and nothing else.
 */
export function alarmsSection(
  { byId, button, change, clock, confirmed, count, duration, latency, say, some }: Elements,
  { table }: Tables,
) {
  type Now = () => number;

  /** The alarms. */
  class Alarms {
    readonly #table: Table<AlarmView>;
    #first = true;

    constructor(now: Now) {
      this.#table = table<AlarmView>({
        place: byId("alarms"),
        key: ({ kind, about }) => `${kind} ${about}`,
        empty: "looking",
        columns: [
          {
            title: "Alarm",
            cell: ({ severity }) => ({ text: severity, tone: `state ${severity === "error" ? "bad" : "warn"}` }),
          },
          { title: "What", wide: true, cell: ({ message }) => ({ text: message, tone: "whole" }) },
          {
            title: "Since",
            number: true,
            cell: ({ since }) => ({ text: duration(now() - since), title: clock(since) }),
          },
        ],
        detail: ({ advice, docs, cause }) =>
          `What to do: ${advice}\nMore: ${docs}${cause === undefined || cause === "" ? "" : `\n\n${cause}`}`,
        unfold: "Why",
      });
    }

    show(alarms: readonly AlarmView[]): void {
      this.#table.show(alarms);
      const errors = alarms.filter(({ severity }) => severity === "error").length;
      const warnings = alarms.length - errors;
      const all = byId("all-well");
      all.hidden = alarms.length > 0;
      byId("alarms").classList.toggle("quiet", alarms.length === 0);
      const parts = [errors > 0 ? some(errors, "error") : "", warnings > 0 ? some(warnings, "warning") : ""];
      const what = parts.filter((part) => part !== "").join(", ");
      say(byId("alarms-title"), what === "" ? "Alarms" : `Alarms: ${what}`);
      const title = document.title.replace(/^\(\d+\) /, "");
      document.title = alarms.length === 0 ? title : `(${alarms.length}) ${title}`;
      // a page that was just opened tells nobody what they see
      if (!this.#first) say(byId("alarms-said"), what === "" ? "no alarms" : what);
      this.#first = false;
    }

    refresh(): void {
      this.#table.refresh();
    }
  }

  /** What happened. */
  function timelineTable(): Table<TimelineEntry> {
    return table<TimelineEntry>({
      place: byId("timeline"),
      key: ({ n }) => `${n}`,
      empty: "nothing since this page was opened",
      columns: [
        { title: "Time", cell: ({ at }) => ({ text: clock(at), tone: "dim" }) },
        { title: "What", cell: ({ what }) => what },
        { title: "About", wide: true, cell: ({ about }) => about },
      ],
    });
  }

  /** NATS itself. */
  class Server {
    readonly #streams: Table<StreamView>;

    constructor() {
      this.#streams = table<StreamView>({
        place: byId("server"),
        key: ({ name }) => name,
        empty: "no streams",
        columns: [
          { title: "Stream", cell: ({ name }) => name },
          { title: "Messages", number: true, cell: ({ messages }) => count(messages) },
          { title: "Size", number: true, cell: ({ bytes }) => size(bytes) },
          { title: "Limit", number: true, cell: ({ limit }) => limit > 0 ? size(limit) : "-" },
          { title: "Leader", cell: ({ leader }) => leader || "-" },
          {
            title: "Copies",
            number: true,
            cell: ({ replicas, missing }) =>
              missing.length === 0
                ? count(replicas)
                : { text: `${count(replicas - missing.length)} of ${count(replicas)}`, tone: "bad" },
          },
          { title: "Consumers", number: true, cell: ({ consumers }) => count(consumers) },
        ],
      });
    }

    show({ name, version, rtt, store, streams }: ServerView): void {
      const used = store === undefined
        ? ""
        : `; store ${size(store.used)}${store.limit > 0 ? ` of ${size(store.limit)}` : ""}`;
      say(byId("server-about"), `${name}, nats-server ${version}; ${latency(rtt)} there and back${used}`);
      this.#streams.show(streams);
    }
  }

  /** Dead letters by what they failed with. */
  class Groups {
    readonly #table: Table<LetterGroup>;

    constructor(now: Now) {
      this.#table = table<LetterGroup>({
        place: byId("groups"),
        key: ({ service, subscription, contract, code, cause }) =>
          JSON.stringify([service, subscription, contract, code, cause]),
        empty: "",
        columns: [
          { title: "Letters", number: true, cell: (group) => count(group.count) },
          { title: "Subscription", cell: ({ service, subscription }) => `${service}/${subscription}` },
          { title: "Contract", cell: ({ contract }) => contract },
          {
            title: "Failed with",
            wide: true,
            cell: ({ code, cause, business }) => ({
              text: `${business ? "decided: " : ""}${code}: ${cause}`,
              tone: business ? "warn" : "bad",
            }),
          },
          { title: "First", number: true, cell: ({ first }) => duration(now() - first) },
          { title: "Last", number: true, cell: ({ last }) => duration(now() - last) },
        ],
        actions: (key) => [
          button("Replay all", () => void this.#settle("replay", key), { class: "change" }),
          button("Discard all", () => void this.#settle("discard", key), { class: "change" }),
        ],
        detail: ({ stack, code, cause }) => stack === "" ? `${code}: ${cause}\n\nNo stack is kept of it.` : stack,
        unfold: "Why",
      });
    }

    /** All of a group, also those that are not shown. */
    async #settle(what: "replay" | "discard", key: string): Promise<void> {
      const group = this.#table.row(key);
      if (group === undefined) return;
      const { service, subscription, contract, code, cause } = group;
      const title = what === "replay" ? "Replay" : "Discard";
      const which = `${
        some(group.count, "dead letter")
      } of ${contract} in ${service}/${subscription} (${code}: ${cause})`;
      const warning = what === "discard" ? " What is discarded is gone." : "";
      if (!await confirmed(`${title} ${which}?${warning}`, `${title} all`)) return;
      await change({ do: what, matching: { service, subscription, contract, code, cause } });
    }

    show({ shown, total }: Capped<LetterGroup>): void {
      this.#table.show(shown, total);
    }
  }

  function size(bytes: number): string {
    if (bytes < 1_000) return `${bytes} B`;
    const [unit, by] = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9] as const;
    const n = bytes / Number(by);
    return `${n < 10 ? n.toFixed(1) : count(n)} ${unit}`;
  }

  return { Alarms, timelineTable, Server, Groups };
}

/** Its return type. */
export type AlarmsSection = ReturnType<typeof alarmsSection>;
