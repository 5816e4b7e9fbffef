"""How often `find_sources` names a source of the right kind, by words and by sentence vectors, for 20 descriptions.

Descriptions and right answers were written before any ranking was looked at; which parts of words are counted was
chosen on them.  Prints, for each way to compare, the share of right sources among the first five and the number of
descriptions whose first source is right.

    python examples/find_sources.py [--encoders none,offline]
"""

from __future__ import annotations

import argparse

import transfer_meta as tm

NLI = (
    "mnli snli esnli rte scitail sick_entailment wanli lingnli anli_r1 anli_r2 anli_r3 docnli scinli cb control_nli"
    " contract_nli hans dialogue_nli nli_fever folio"
)
INTENT = (
    "it_support_tickets banking77 clinc_oos massive_intent hwu64 atis_intent snips_built_in_intents"
)
REVIEWS = "amazon_polarity amazon_reviews_multi cr yelp_polarity yelp_review_full app_reviews imdb rotten_tomatoes"
HATE = (
    "tweet_ev_hate tweet_ev_offensive hate_speech18 hate_speech_offensive tweets_hate_speech_detection"
    " ethos dynahate implicit_hate hatemoji toxic_conversations toxic_chat civil_comments frenk_en"
)
NEWS_NAMES = "conll2003 ontonotes few_nerd wnut17 btc tweebank_ner fin_ner"
BIOMEDICAL = "bc5cdr ncbi_disease jnlpba bionlp2004 ade_corpus_v2"
SPANS = "squad squad_v2 newsqa hotpotqa triviaqa quoref duorc_s duorc_p record drop boolq qnli wiki_qa"
TOPICS = "ag_news 20_newsgroup yahoo_answers tweet_topic dbpedia hlgd"
STANCE = " ".join(
    f"tweet_ev_stance_{t}" for t in ("abortion", "atheism", "climate", "feminist", "hillary")
)
SCALE = "stsb sick_relatedness sts_companion patent_phrase_similarity"
CONTINUE = "hellaswag swag codah mutual art copa balanced_copa e_care"
EMOTION = "emotion emo isear dyda_emotion meld_emotion tweet_ev_emotion"
CLAIMS = "vitaminc nli_fever health_fact liar creak"
LAW = "ledgar contract_nli scotus case_hold fin_ner"
EXAMS = "race medmcqa medqa_usmle arc_easy arc_challenge openbookqa qasc science_qa lsat_qa reclor"
SLOTS = "snips_slots atis_slots mit_restaurant mit_movie_trivia"

QUERIES = {
    "decide whether a support ticket is about billing, shipping or a bug": INTENT,
    "polarity of product reviews in an online shop": REVIEWS,
    "does one clinical sentence follow from another": NLI,
    "find the names of people and companies in newspaper text": NEWS_NAMES,
    "detect insults and abusive comments on social media": HATE,
    "are two questions on a forum the same": "qqp medical_questions_pairs mrpc paws",
    "find drug and disease names in medical abstracts": BIOMEDICAL,
    "answer questions about a company handbook by marking the passage": SPANS,
    "which category a news article belongs to": TOPICS,
    "does a tweet agree or disagree with a policy": STANCE,
    "is a sentence grammatical": "cola graded_acceptability google_wellformed_query",
    "rate how alike two phrases are from 0 to 5": SCALE,
    "choose the plausible continuation of a story": CONTINUE,
    "part-of-speech tags of learner English": "ewt_upos conll2003_pos ewt_deprel conll2000 conll2003_chunk",
    "emotion of a chat message: joy, anger or fear": EMOTION,
    "is a claim supported by the evidence": CLAIMS,
    "classify the clauses of contracts": LAW,
    "filter spam from mail": "sms_spam prompt_injections insincere_questions",
    "exam questions with four options": EXAMS,
    "slots of requests to a booking assistant: date, place, number of people": SLOTS,
}
"""Descriptions of tasks, and the names of sources of the right kind."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoders", default="none,offline", help="none: by words")
    for encoder in parser.parse_args().encoders.split(","):
        among_five, first = 0.0, 0
        for text, right in QUERIES.items():
            found = tm.find_sources(text, tm.FindSettings(top=5, encoder=encoder))
            names = found.to_frame()["name"]
            hits = names.isin(right.split())
            # Of kinds with fewer than five sources all can be among the first five at most.
            among_five += hits.sum() / min(5, len(right.split()))
            first += bool(hits.iloc[0])
        print(
            f"--encoder {encoder}: {among_five / len(QUERIES):.2f} of the first five, {first} of 20 first"
        )


if __name__ == "__main__":
    main()
