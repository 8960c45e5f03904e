/** The name of the lock under which an owner of leases shows that it lives. */
export const ownerLock = (name: string, owner: string): string => `holdfast:${name}:owner:${owner}`
