import { noWaitRace } from "./no_wait_race.ts";
import { ruleSuite } from "./rule_suite.ts";

ruleSuite("no-wait-race", noWaitRace, {
  head: `import { workflow } from "@catga/catga";
const Visit = workflow("Visit");
const Moved = Visit.signal("Moved");`,
  bad: {
    "races of a wait without a signal": {
      source: `export const a = Visit.handle(async (flow) => {
  await Promise.race([flow.wait(Moved), flow.sleep("a day", 86_400_000)]);
  await Promise.any([flow.step("a", () => {}), flow.wait(Moved, { name: "second" }).then(() => 1)]);
});`,
      at: ["flow.wait(Moved)", 'flow.wait(Moved, { name: "second" })'],
      says: /^If this wait loses its race, it takes a later signal, which nobody sees$/,
    },
  },
  good: {
    "waits with a time, a list or a signal": `export const a = Visit.handle(async (flow, options) => {
  await flow.wait(Moved, { timeout: 86_400_000 });
  await flow.wait([Moved], { timeout: 86_400_000 });
  const { signal } = new AbortController();
  await Promise.race([flow.wait(Moved, { signal }), flow.sleep("a day", 86_400_000)]);
  await Promise.race([flow.wait(Moved, options), flow.wait(Moved, { ...options })]);
  await Promise.all([flow.wait(Moved), flow.sleep("another", 1)]);
});`,
    "races of others": `export const a = Visit.handle(async (flow, other) => {
  await Promise.race([other.wait(Moved), flow.sleep("a day", 86_400_000)]);
  await Promise.race(other);
});`,
  },
});
