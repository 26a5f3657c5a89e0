import { catga } from "@catga/catga";

let swept = 0;
const done = Promise.withResolvers<void>();
const sweep = () => ++swept === 3 && done.resolve();

await using app = await catga();
await using _sweeper = app.lead("sweeper", async (signal) => {
  while (!signal.aborted) {
    sweep();
    await app.clock.sleep(10, signal).catch(() => {}); // ended: the loop looks at the signal
  }
});
await done.promise;
console.log(swept >= 3); // true
