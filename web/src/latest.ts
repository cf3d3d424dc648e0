// Of answers that come late, only the newest question's counts.

export interface Versioned {
  /** Rises from answer to answer. */
  version: number;
}

/** Runs one question at a time; of those asked meanwhile only the newest is run. */
export class Latest<T> {
  private running = false;
  private next: (() => Promise<T>) | null = null;

  constructor(
    private readonly take: (answer: T) => void,
    private readonly fail: (error: unknown) => void,
  ) {}

  ask(question: () => Promise<T>): void {
    this.next = question;
    if (!this.running) void this.run();
  }

  /** Forget what waits, and the answer to what runs. */
  drop(): void {
    if (this.running) this.next = () => Promise.reject(DROPPED);
  }

  private async run(): Promise<void> {
    this.running = true;
    while (this.next) {
      const question = this.next;
      this.next = null;
      try {
        const answer = await question();
        if (!this.next) this.take(answer);
      } catch (error) {
        if (error !== DROPPED && !this.next) this.fail(error);
      }
    }
    this.running = false;
  }
}

/** Questions that are answered twice: from the overview at once, and later from every pixel, by an event. */
export class Refined<T extends Versioned> extends Latest<T> {
  private version = 0;
  /** An event may come before the answer that it refines. */
  private early: T | null = null;

  constructor(
    private readonly show: (answer: T) => void,
    fail: (error: unknown) => void,
  ) {
    super((answer) => this.first(answer), fail);
  }

  override ask(question: () => Promise<T>): void {
    this.version = Number.POSITIVE_INFINITY;
    super.ask(question);
  }

  override drop(): void {
    this.version = Number.POSITIVE_INFINITY;
    super.drop();
  }

  /** Take what refines the newest answer. */
  refine(answer: T): void {
    this.early = answer;
    if (answer.version > this.version) this.first(answer);
  }

  private first(answer: T): void {
    const newest = this.early && this.early.version > answer.version ? this.early : answer;
    this.version = newest.version;
    this.show(newest);
  }
}

const DROPPED = new Error("dropped");
