// Primes of the size that tables have.

/** By trial division: for numbers of some millions. */
export function isPrime(number: number): boolean {
  if (!Number.isInteger(number) || number < 2) return false;
  for (let divisor = 2; divisor * divisor <= number; divisor++) if (number % divisor === 0) return false;
  return true;
}

/** The least prime that is not below the number. */
export function nextPrime(number: number): number {
  let candidate = Math.max(2, Math.ceil(number));
  while (!isPrime(candidate)) candidate++;
  return candidate;
}
