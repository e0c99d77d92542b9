//! From tokens to a tree, by recursive descent with a bound on the depth.

use super::lexer::{Token, tokens, unexpected};
use super::{Expression, MAX_DEPTH, SyntaxError};

/// Reads one expression that takes up the whole text.
pub(super) fn parse(text: &str) -> Result<Expression, SyntaxError> {
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        end: text.chars().count().saturating_add(2),
    };
    let (expression, _) = parser.expression(0)?;
    match parser.tokens.next() {
        None => Ok(expression),
        Some((at, token)) => Err(unexpected("the end", &token.shown(), at)),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<(usize, Token)>>,
    end: usize,
}

impl Parser {
    /// Reads an expression at a depth; returns it with its own height.
    fn expression(&mut self, depth: usize) -> Result<(Expression, usize), SyntaxError> {
        if depth >= MAX_DEPTH {
            return Err(SyntaxError::Deep);
        }
        let inner = depth.saturating_add(1);
        let (mut read, mut height) = self.primary(inner)?;
        // Properties and indexes wrap what is before them, so that a long row of them is deep as well.
        loop {
            if self.take('.') {
                let name = self.name("the name of a property")?;
                read = Expression::Property(Box::new(read), name);
                height = height.saturating_add(1);
            } else if self.take('[') {
                let (index, other) = self.expression(inner)?;
                self.demand(']', "']'")?;
                read = Expression::Index(Box::new(read), Box::new(index));
                height = height.max(other).saturating_add(1);
            } else {
                return Ok((read, height));
            }
            if height.saturating_add(depth) > MAX_DEPTH {
                return Err(SyntaxError::Deep);
            }
        }
    }

    fn primary(&mut self, depth: usize) -> Result<(Expression, usize), SyntaxError> {
        let expected = "a function, a number or a string";
        match self.tokens.next() {
            Some((_, Token::Text(text))) => Ok((Expression::Text(text), 1)),
            Some((_, Token::Integer(number))) => Ok((Expression::Integer(number), 1)),
            Some((_, Token::Name(first))) => {
                let (namespace, name) = match self.take('.') {
                    true => (Some(first), self.name("the name of a function")?),
                    false => (None, first),
                };
                let (arguments, height) = self.arguments(depth)?;
                let call = Expression::Call {
                    namespace,
                    name,
                    arguments,
                };
                Ok((call, height.saturating_add(1)))
            }
            Some((at, token)) => Err(unexpected(expected, &token.shown(), at)),
            None => Err(self.ended(expected)),
        }
    }

    fn arguments(&mut self, depth: usize) -> Result<(Vec<Expression>, usize), SyntaxError> {
        self.demand('(', "'('")?;
        let mut arguments = Vec::new();
        let mut height = 0;
        if self.take(')') {
            return Ok((arguments, height));
        }
        loop {
            let (argument, own) = self.expression(depth)?;
            arguments.push(argument);
            height = height.max(own);
            if !self.take(',') {
                self.demand(')', "',' or ')'")?;
                return Ok((arguments, height));
            }
        }
    }

    fn take(&mut self, mark: char) -> bool {
        self.tokens
            .next_if(|(_, token)| *token == Token::Mark(mark))
            .is_some()
    }

    fn demand(&mut self, mark: char, expected: &'static str) -> Result<(), SyntaxError> {
        match self.tokens.next() {
            Some((_, Token::Mark(found))) if found == mark => Ok(()),
            Some((at, token)) => Err(unexpected(expected, &token.shown(), at)),
            None => Err(self.ended(expected)),
        }
    }

    fn name(&mut self, expected: &'static str) -> Result<String, SyntaxError> {
        match self.tokens.next() {
            Some((_, Token::Name(name))) => Ok(name),
            Some((at, token)) => Err(unexpected(expected, &token.shown(), at)),
            None => Err(self.ended(expected)),
        }
    }

    fn ended(&self, expected: &'static str) -> SyntaxError {
        SyntaxError::Unexpected {
            expected,
            found: "the end".to_owned(),
            at: self.end,
        }
    }
}
