/**
 * Sections of the page: the alarms with their causes and advice, the latest events of the cluster, and the state of
 * NATS.
 */
import type { AlarmView, StreamView, TimelineEntry } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the sections of alarms, events of the cluster, and NATS. The function's source text is embedded in the page's
 * script, so it may use only its parameters and browser globals.
 */
export function alarmsSection(
  { age, byId, clock, count, latency, say, some }: Elements,
  { table, dim }: Tables,
): Shows {
  const alarms = table<AlarmView>({
    place: byId("alarms"),
    key: ({ kind, about }) => `${kind} ${about}`,
    empty: "looking",
    columns: [
      ["Alarm", ({ severity }) => ({ text: severity, tone: `state ${severity === "error" ? "bad" : "warn"}` })],
      ["What", ({ message }) => ({ text: message, tone: "whole" }), "wide"],
      ["Since", ({ since }) => ({ text: age(since), title: clock(since) }), "number"],
    ],
    detail: ({ advice, docs, cause = "" }) =>
      `What to do: ${advice}\nMore: ${docs}${cause === "" ? "" : `\n\n${cause}`}`,
    unfold: "Why",
  });
  let isFirst = true;

  const timeline = table<TimelineEntry>({
    place: byId("timeline"),
    key: ({ n }) => `${n}`,
    empty: "nothing since this page was opened",
    columns: [
      ["Time", ({ at }) => dim(clock(at))],
      ["What", ({ what }) => what],
      ["About", ({ about }) => about, "wide"],
    ],
  });

  const stored = table<StreamView>({
    place: byId("server"),
    key: ({ name }) => name,
    empty: "no streams",
    columns: [
      ["Stream", ({ name }) => name],
      ["Messages", ({ messages }) => count(messages), "number"],
      ["Size", ({ bytes }) => size(bytes), "number"],
      ["Limit", ({ limit }) => limit > 0 ? size(limit) : "-", "number"],
      ["Leader", ({ leader }) => leader || "-"],
      [
        "Copies",
        ({ replicas, missing }) =>
          missing.length === 0
            ? count(replicas)
            : { text: `${count(replicas - missing.length)} of ${count(replicas)}`, tone: "bad" },
        "number",
      ],
      ["Consumers", ({ consumers }) => count(consumers), "number"],
    ],
  });

  return {
    alarms(view) {
      alarms.show(view);
      const errors = view.filter(({ severity }) => severity === "error").length;
      const warnings = view.length - errors;
      byId("all-well").hidden = view.length > 0;
      byId("alarms").classList.toggle("quiet", view.length === 0);
      const parts = [errors > 0 ? some(errors, "error") : "", warnings > 0 ? some(warnings, "warning") : ""];
      const what = parts.filter((part) => part !== "").join(", ");
      say(byId("alarms-title"), what === "" ? "Alarms" : `Alarms: ${what}`);
      const title = document.title.replace(/^\(\d+\) /, "");
      document.title = view.length === 0 ? title : `(${view.length}) ${title}`;
      // later changes of the alarms are announced to users of screen readers; the first alarms are not, because a
      // reader reads a newly opened page anyway
      if (!isFirst) say(byId("alarms-said"), what === "" ? "no alarms" : what);
      isFirst = false;
    },
    timeline: timeline.show,
    server({ name, version, rtt, store, streams }) {
      const used = store === undefined
        ? ""
        : `; store ${size(store.used)}${store.limit > 0 ? ` of ${size(store.limit)}` : ""}`;
      say(byId("server-about"), `${name}, ${version}${rtt === 0 ? "" : `; ${latency(rtt)} there and back`}${used}`);
      stored.show(streams);
    },
  };

  function size(bytes: number): string {
    if (bytes < 1_000) return `${bytes} B`;
    const [unit, by] = bytes < 1e6 ? ["kB", 1e3] : bytes < 1e9 ? ["MB", 1e6] : ["GB", 1e9] as const;
    const n = bytes / Number(by);
    return `${n < 10 ? n.toFixed(1) : count(n)} ${unit}`;
  }
}
