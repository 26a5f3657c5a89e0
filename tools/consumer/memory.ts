/** A user's first program, run on the published package: an app in memory that sends to itself. */
import { catga, command, event, fail } from "@catga/catga";

const Greet = command<{ name: string }, string>("Greet");
const Greeted = event<{ name: string }>("Greeted");

const heard = Promise.withResolvers<string>();
const limit = setTimeout(() => heard.reject(new Error("heard nothing for 5 s")), 5_000);
const greet = Greet.handle(async ({ name }, ctx) => {
  if (name === "") return fail("NO_NAME", "whom?");
  const published = await ctx.publish(Greeted, { name });
  return published.ok ? `hello ${name}` : published;
});
const listen = Greeted.on(({ name }) => heard.resolve(name));

await using app = await catga({ handlers: [greet, listen] });
const good = await app.send(Greet, { name: "tea" });
const bad = await app.send(Greet, { name: "" });
if (!good.ok || good.value !== "hello tea") throw new Error(`answered ${JSON.stringify(good)}`);
if (bad.ok || bad.error.code !== "NO_NAME") throw new Error(`answered ${JSON.stringify(bad)}`);
if (await heard.promise !== "tea") throw new Error(`heard ${await heard.promise}`);
clearTimeout(limit);
console.log("in memory: answered, failed and heard as it should");
