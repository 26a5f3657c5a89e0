import { catga } from "@catga/catga";
import * as handlers from "./withdraw.ts";

await using app = await catga({ handlers });
const asked = [60, 60].map((cents) => app.send(handlers.Withdraw, { customer: "ada", cents }));
for (const { value, error } of await Promise.all(asked)) console.log(value ?? error?.code);
