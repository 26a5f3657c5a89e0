/** Section of the page: the newest events, with a filter. */
import type { EventView, Topics } from "../view.ts";
import type { Elements } from "./elements.ts";
import type { Shows } from "./section.ts";
import type { Tables } from "./table.ts";

/**
 * Makes the section of events. The function's source text is embedded in the page's script, so it may use only its
 * parameters and browser globals.
 */
export function eventsSection(
  { button, byId, filled, make, say, clock, count }: Elements,
  { table, dim }: Tables,
): Shows {
  const ROWS = 60;
  const text = make("input", "", { type: "search", id: "events-filter", placeholder: "name, key, id, payload" });
  const kind = make("select", "", { id: "events-kind" });
  kind.append(new Option("all", ""), new Option("durable", "durable"), new Option("not kept", "live"));
  const note = make("span", "", { class: "note" });
  const [filter, kinds] = [filled(make("label", "filter "), text), filled(make("label", "kind "), kind)];
  for (const input of [text, kind]) input.addEventListener("input", show);
  let isPaused = false;
  const pause = button("Pause", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", `${isPaused}`);
    if (!isPaused) show();
  }, { "aria-pressed": "false" });
  byId("events-bar").append(filter, kinds, pause, note);
  const events = table<EventView>({
    place: byId("events"),
    key: ({ n }) => `${n}`,
    empty: "none yet",
    columns: [
      ["Time", ({ at }) => dim(clock(at))],
      ["Event", ({ name }) => name],
      ["Key", ({ key }) => key ?? "-"],
      ["Kind", ({ durable, from }) => dim(durable ? "durable" : `from ${from}`)],
      ["Payload", ({ payload }) => ({ text: oneLine(payload), tone: "code" }), "wide"],
    ],
    detail: ({ id, payload }) => `${id}\n\n${payload}`,
  });
  let all: Topics["events"] = { shown: [], left: 0 };

  return {
    events(view) {
      all = view;
      if (!isPaused) show();
    },
  };

  function show(): void {
    const wanted = text.value.toLowerCase();
    const rows = all.shown.filter(({ name, key = "", id, payload, durable }) =>
      (kind.value === "" || durable === (kind.value === "durable")) &&
      (wanted === "" || [name, key, id, payload].some((each) => each.toLowerCase().includes(wanted)))
    );
    events.show(rows.slice(0, ROWS));
    say(note, all.left === 0 ? "" : `${count(all.left)} came too fast to be shown`);
  }

  function oneLine(text: string): string {
    const line = text.replace(/\s*\n\s*/g, " ");
    return line.length > 200 ? `${line.slice(0, 200)}…` : line;
  }
}
