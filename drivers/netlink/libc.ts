import koffi, { type KoffiFunc } from "koffi";

/*
 * The only prototypes of C functions in the project. A wrong one is a segmentation fault, so every function below is
 * called by libc.test.ts, and no caller passes a length of its own: lengths are taken from the buffers.
 *
 * Every function returns what the kernel would: a number >= 0, or minus the errno.
 */

// The running program itself: libc is in it already, whether it is glibc or musl.
const libc = koffi.load(null);

type Send = (fd: number, data: Uint8Array, lengthBytes: number, flags: number) => number;
type ReceiveFrom = (
  fd: number,
  into: Uint8Array,
  lengthBytes: number,
  flags: number,
  address: Uint8Array,
  addressLength: Uint8Array,
) => number;

const cSocket: (family: number, type: number, protocol: number) => number = libc.func("int socket(int, int, int)");
const cBind: (fd: number, address: Uint8Array, lengthBytes: number) => number = libc.func(
  "int bind(int, const void *, uint32_t)",
);
const cSend = libc.func("intptr_t send(int, const void *, size_t, int)") as KoffiFunc<Send>;
const cReceiveFrom = libc.func("intptr_t recvfrom(int, void *, size_t, int, void *, void *)") as KoffiFunc<ReceiveFrom>;
const cSetsockopt: (fd: number, level: number, name: number, value: Uint8Array, lengthBytes: number) => number =
  libc.func("int setsockopt(int, int, int, const void *, uint32_t)");
const cSetns: (fd: number, type: number) => number = libc.func("int setns(int, int)");
const cClose: (fd: number) => number = libc.func("int close(int)");
const cMount: (source: string, target: string, filesystem: null, flags: number, data: null) => number = libc.func(
  "int mount(const char *, const char *, const char *, unsigned long, const void *)",
);
const cUmount2: (target: string, flags: number) => number = libc.func("int umount2(const char *, int)");
const cIoctl: (fd: number, request: number) => number = libc.func("int ioctl(int, unsigned long, ...)");

/** A datagram's buffer and the address it came from; one per receive that may be under way. */
export interface Inbox {
  readonly data: Buffer;
  /** struct sockaddr_nl, filled by the kernel. */
  readonly address: Buffer;
  readonly addressLength: Buffer;
}

export const SOCKADDR_NL_BYTES = 12; // struct sockaddr_nl, linux/netlink.h

// bits/socket.h, asm-generic/socket.h
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const SOL_SOCKET = 1;
export const SOL_NETLINK = 270;
export const CLONE_NEWNET = 0x40000000; // linux/sched.h
const MS_BIND = 4096; // sys/mount.h
const MNT_DETACH = 2; // sys/mount.h
const NS_GET_NSTYPE = 0xb703; // linux/nsfs.h, _IO(0xb7, 0x3)

/** Room for one datagram of at most `dataBytes`. */
export function createInbox(dataBytes: number): Inbox {
  return {
    data: Buffer.alloc(dataBytes),
    address: Buffer.alloc(SOCKADDR_NL_BYTES),
    addressLength: Buffer.alloc(4),
  };
}

/** socket(2). */
export function socket(family: number, type: number, protocol: number): number {
  return orErrno(cSocket(family, type, protocol));
}

/** bind(2). */
export function bind(fd: number, address: Uint8Array): number {
  return orErrno(cBind(fd, address, address.length));
}

/** send(2) on the calling thread. */
export function send(fd: number, data: Uint8Array, flags: number): number {
  return orErrno(cSend(fd, data, data.length, flags));
}

/** send(2) on a thread of libuv's pool. `data` stays referenced until the call has ended; do not change it before. */
export function sendOnPool(fd: number, data: Uint8Array, flags: number): Promise<number> {
  return settleAsync([data], (done) => cSend.async(fd, data, data.length, flags, done));
}

/** recvfrom(2) on the calling thread; pass MSG_DONTWAIT unless the thread may block. */
export function receive(fd: number, inbox: Inbox, flags: number): number {
  inbox.addressLength.writeUInt32LE(inbox.address.length);
  const { data, address, addressLength } = inbox;
  return orErrno(cReceiveFrom(fd, data, data.length, flags, address, addressLength));
}

/** recvfrom(2) on a thread of libuv's pool. The inbox belongs to the call until it has ended. */
export function receiveOnPool(fd: number, inbox: Inbox, flags: number): Promise<number> {
  inbox.addressLength.writeUInt32LE(inbox.address.length);
  const { data, address, addressLength } = inbox;
  return settleAsync([data, address, addressLength], (done) =>
    cReceiveFrom.async(fd, data, data.length, flags, address, addressLength, done),
  );
}

/** setsockopt(2) with an option of raw bytes. */
export function setsockopt(fd: number, level: number, name: number, value: Uint8Array): number {
  return orErrno(cSetsockopt(fd, level, name, value, value.length));
}

/** setns(2) for the calling thread. Only netns.ts may call it. */
export function setns(fd: number, type: number): number {
  return orErrno(cSetns(fd, type));
}

/** close(2). On Linux the descriptor is gone whatever it returns: never call it twice. */
export function close(fd: number): number {
  return orErrno(cClose(fd));
}

/** mount(2) of what stands at `source` on `target`. */
export function bindMount(source: string, target: string): number {
  return orErrno(cMount(source, target, null, MS_BIND, null));
}

/** umount2(2) of what is mounted on `target`, at once for those who look, later for those who hold it. */
export function detachMount(target: string): number {
  return orErrno(cUmount2(target, MNT_DETACH));
}

/** The CLONE_NEW… constant of the namespace that `fd` refers to; -ENOTTY when it is none. */
export function namespaceType(fd: number): number {
  return orErrno(cIoctl(fd, NS_GET_NSTYPE));
}

function orErrno(result: number): number {
  return result < 0 ? -koffi.errno() : Number(result);
}

type Done = (error: unknown, result: number) => void;

/** Buffers lent to native threads, so that no collector can take them before the call has ended. */
const lent = new Set<readonly Uint8Array[]>();

function settleAsync(buffers: readonly Uint8Array[], start: (done: Done) => void): Promise<number> {
  const { promise, resolve, reject } = withResolvers();
  lent.add(buffers);
  try {
    start((error, result) => {
      const value = error ? 0 : orErrno(result); // errno first: any other call could change it
      lent.delete(buffers);
      if (error) reject(error);
      else resolve(value);
    });
  } catch (error) {
    lent.delete(buffers); // koffi refused to start it
    reject(error);
  }
  return promise;
}

function withResolvers() {
  let resolve: (value: number) => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<number>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}
