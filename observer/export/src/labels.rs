//! A set of labels whose memory is used again, such as those of one series on their way to an endpoint.

/// Labels sorted by name, each name once, none with an empty value. The metric's name is the label `__name__`.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    labels: Vec<(String, String)>,
    /// Labels that were taken out, for their memory.
    spare: Vec<(String, String)>,
}

/// Rewrites the labels of a series before it is sent, once as long as the series lives.
pub trait Relabel: Send {
    /// Changes the labels as the rules say. False if the series is not to be sent.
    fn relabel(&mut self, labels: &mut Labels) -> bool;
}

impl Labels {
    /// Takes all labels out.
    pub fn clear(&mut self) {
        self.spare.append(&mut self.labels);
    }

    /// The value of a label; empty if there is none.
    #[must_use]
    pub fn get(&self, name: &str) -> &str {
        self.position(name).map_or("", |at| &self.labels[at].1)
    }

    /// Gives a label its value. An empty value takes the label out, as Prometheus has it.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return self.remove(name);
        }
        match self.position(name) {
            Ok(at) => {
                let old = &mut self.labels[at].1;
                old.clear();
                old.push_str(value);
            }
            Err(at) => {
                let mut label = self.spare.pop().unwrap_or_default();
                label.0.clear();
                label.0.push_str(name);
                label.1.clear();
                label.1.push_str(value);
                self.labels.insert(at, label);
            }
        }
    }

    /// Takes a label out.
    pub fn remove(&mut self, name: &str) {
        if let Ok(at) = self.position(name) {
            let label = self.labels.remove(at);
            self.spare.push(label);
        }
    }

    /// Takes the labels out whose name is not wanted.
    pub fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        let mut at = 0;
        while let Some((name, _)) = self.labels.get(at) {
            if wanted(name) {
                at += 1;
            } else {
                let label = self.labels.remove(at);
                self.spare.push(label);
            }
        }
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn position(&self, name: &str) -> Result<usize, usize> {
        self.labels.binary_search_by(|(other, _)| other.as_str().cmp(name))
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Labels {
    /// Of two labels with one name the later counts.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(labels: I) -> Self {
        let mut set = Self::default();
        for (name, value) in labels {
            set.set(name, value);
        }
        set
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.labels == other.labels
    }
}

impl Eq for Labels {}
