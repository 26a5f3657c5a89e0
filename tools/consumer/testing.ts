/** A user's first test, and the command line tool, on the published package. */
import { command, unwrap } from "@catga/catga";
import { cli } from "@catga/catga/cli";
import { testCluster } from "@catga/catga/testing";

const Brew = command<{ tea: string }, string>("Brew");
await using cluster = await testCluster(3, { handlers: Brew.handle(({ tea }, ctx) => `${tea} by ${ctx.node}`) });
cluster.kill("node-2");
await cluster.agreed();
const brewed = unwrap(await cluster.apps[1].send(Brew, { tea: "assam" }, { node: "node-1" }));
if (brewed !== "assam by node-1") throw new Error(`answered ${brewed}`);
const { node, result } = await cluster.recorder.next(Brew);
if (node !== "node-1" || result?.value !== brewed) throw new Error(`recorded ${node} ${JSON.stringify(result)}`);
if (await cli(["nodes", "--help"]) !== 0) throw new Error("no help from the command line tool");
console.log("the test kit and the command line tool do what they should");
