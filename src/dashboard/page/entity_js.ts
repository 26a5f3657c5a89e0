// Made by tools/dashboard_page.ts.
/** entity.js */
export const ENTITY_JS: string = `/** One entity with its history: read when it is asked for. */

import { byId, say } from "./elements.js";
import { count } from "./format.js";
import { Table } from "./table.js";

/** The section. */
export function entitySection()       {
  const [type, id] = [byId                  ("entity-type"), byId                  ("entity-id")];
  const table = new Table       ({
    place: byId("entity"),
    key: ({ position }) => \`\${position}\`,
    empty: "",
    columns: [
      { title: "Version", number: true, cell: ({ version }) => version === undefined ? "-" : count(version) },
      { title: "Stored", cell: ({ at }) => ({ text: new Date(at).toISOString(), tone: "dim" }) },
      {
        title: "Event",
        cell: ({ event }) => event === "" ? { text: "passed over", tone: "warn" } : event,
      },
      { title: "Command", cell: ({ command }) => ({ text: command || "-", tone: "dim" }) },
      { title: "Payload", wide: true, cell: ({ payload }) => ({ text: payload.replace(/\\s+/g, " "), tone: "code" }) },
    ],
    detail: ({ position, payload }) => \`position \${position}\\n\\n\${payload}\`,
  });
  byId("entity-form").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    void look(type.value.trim(), id.value, table);
  });
}

async function look(type        , id        , table              )                {
  const about = byId("entity-about");
  say(about, "reading");
  try {
    const response = await fetch(\`entity?\${new URLSearchParams({ type, id })}\`);
    if (!response.ok) {
      table.show([]);
      return say(about, await response.text());
    }
    const entity             = await response.json();
    say(about, summary(entity));
    table.show(entity.events);
  } catch (error) {
    say(about, (error         ).message);
  }
}

function summary({ type, id, version, created, changed, forgotten, snapshot, events }            )         {
  const time = (ms                    ) => ms === undefined ? "-" : new Date(ms).toISOString();
  const shown = events.length < version ? \`, the last \${count(events.length)} are shown\` : "";
  const kept = snapshot === "" ? "no snapshot" : \`snapshot of version \${snapshot}\`;
  return \`\${type} \${id}: version \${count(version)}\${shown}; created \${time(created)}, changed \${time(changed)}; \${
    forgotten ? "forgotten; " : ""
  }\${kept}\`;
}
`;
