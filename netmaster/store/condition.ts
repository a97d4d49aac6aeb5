/** Something that is wrong although this netmaster serves. */
export interface Condition {
  readonly name: string;
  /** The store key that it is about, where there is one. */
  readonly key?: string;
  readonly message: string;
}
