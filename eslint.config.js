import neostandard from 'neostandard'

const throughFollow = 'A promise of the handlers, the socket, the server or the exchange goes on inside the barrier: follow() of lib/barrier.ts, or return it to who does, or await it in a function whose promise is followed.'

// A type that does not fit wants a guard, a better signature or an overload: through a second one anything passes.
const twoAssertions = {
  selector: 'TSAsExpression > TSAsExpression.expression',
  message: 'One assertion at most: say in the signature what it is, or check it.'
}

export default [
  ...neostandard({ ts: true, ignores: ['dist', 'node_modules', '.tap', 'bench/node_modules', 'examples/demo/dist'] }),
  {
    files: ['lib/**/*.ts', 'types/**/*.ts'],
    rules: {
      // The one place for it is types/user-data.ts, which says what may be called so.
      '@typescript-eslint/no-explicit-any': 'error',
      'no-restricted-syntax': ['error', twoAssertions]
    }
  },
  {
    files: ['lib/handlers/**', 'lib/socket/**', 'lib/server/**', 'lib/exchange/**'],
    rules: {
      // It takes the place of the one above.
      'no-restricted-syntax': ['error', twoAssertions,
        // Only what is returned may be chained: the chain belongs to the caller then.
        {
          selector: ':not(ReturnStatement):not(MemberExpression):not(ChainExpression) > CallExpression[callee.property.name=/^(then|catch|finally)$/]',
          message: throughFollow
        },
        {
          selector: ':not(ReturnStatement):not(MemberExpression) > ChainExpression > CallExpression[callee.property.name=/^(then|catch|finally)$/]',
          message: throughFollow
        }
      ]
    }
  }
]
