/** Text that is hard on whoever counts bytes or cuts: 1 to 4 bytes a character, quotes, lines, and what has a meaning in paths and stacks. */
import fc from 'fast-check'

export const anyText = (maxLength = 40): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom('a', 'Z', '0', ' ', 'ß', 'é', '漢', '€', '😀', '👩‍👩‍👧', '\u0000', '\n', '"', "'", '\\', '/', '@', '.', '[', '\u07ff', '\uffff'), maxLength })
