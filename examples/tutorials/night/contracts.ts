import { event, workflow } from "@catga/catga";

export const Sold = event<{ order: string; cents: number }>("Sold", { durable: true, key: ({ order }) => order });
export const Ship = workflow<{ order: string }, string>("Ship", { id: ({ order }) => order });
