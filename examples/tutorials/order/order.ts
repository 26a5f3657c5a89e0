import { fail, workflow } from "@catga/catga";

const DAYS = 86_400_000;

export const Order = workflow<{ order: string; cents: number }, string, "NOT_APPROVED">("Order", {
  id: ({ order }) => order,
});
export const Approved = Order.signal<{ by: string }>("Approved");

export const order = Order.handle(async (flow, { order, cents }) => {
  await flow.step("charge", () => {
    console.log(`charge ${cents} for ${order}`);
    return { receipt: `r-${order}` };
  }, { undo: ({ receipt }) => console.log(`refund ${receipt}`) });

  const approval = await flow.wait(Approved, { timeout: 3 * DAYS });
  if (approval === undefined) return fail("NOT_APPROVED", "nobody has approved it");

  return await flow.step("ship", () => {
    console.log(`ship ${order}, approved by ${approval.by}`);
    return `parcel of ${order}`;
  });
});
