import { event } from "@catga/catga";

export const Booked = event<{ room: string; guest: string }>("Booked", { durable: true, key: ({ room }) => room });
